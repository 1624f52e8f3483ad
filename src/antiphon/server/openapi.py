"""The OpenAPI document, made of the wire types and the table of operations below when somebody asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

import antiphon
from antiphon.wire.chat import CreateChatCompletion, UpdateChatCompletion
from antiphon.wire.chat_completion import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionDeleted,
    ChatCompletionList,
    StoredMessageList,
)
from antiphon.wire.embeddings import CreateEmbeddings, EmbeddingList
from antiphon.wire.events import EVENTS
from antiphon.wire.items import ITEMS
from antiphon.wire.moderations import CreateModeration, ModerationCreated
from antiphon.wire.request import INCLUDABLE, CountTokens, CreateResponse
from antiphon.wire.response import InputTokens, ItemList, ModelList, ModelObject, Response, ResponseDeleted
from antiphon.wire.struct import Unsent
from antiphon.wire.tools import TEXT_FORMATS, TOOL_CHOICES, TOOLS

Json = dict[str, Any]

_REF = "#/components/schemas/{name}"
_ANY_OBJECT: Json = {"type": "object", "properties": {"type": {"type": "string"}}, "additionalProperties": True}


@cache
def document() -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Antiphon",
                "version": antiphon.__version__,
                "description": "The Responses API over any model.",
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "security": [{}, {"key": []}],
            "paths": _paths(),
            "components": {
                "schemas": _schemas(),
                "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            },
        }
    )


def _schemas() -> Json:
    kinds = [CreateResponse, CountTokens, Response, ItemList, InputTokens, ResponseDeleted, ModelList, ModelObject]
    kinds += [CreateChatCompletion, UpdateChatCompletion, ChatCompletion, ChatCompletionChunk]
    kinds += [ChatCompletionList, ChatCompletionDeleted, StoredMessageList]
    kinds += [CreateEmbeddings, EmbeddingList, CreateModeration, ModerationCreated]
    tables = {"Item": ITEMS, "Tool": TOOLS, "ToolChoiceObject": TOOL_CHOICES, "TextFormat": TEXT_FORMATS}
    structs: list[type[Any]] = [
        *kinds,
        *(struct for table in tables.values() for struct in table.values()),
        *EVENTS.values(),
    ]
    unique = list(dict.fromkeys(structs))
    _, schemas = msgspec.json.schema_components(unique, schema_hook=_hook, ref_template=_REF)
    names = {struct: _name(struct) for struct in unique}
    for union, table in tables.items():
        members = dict.fromkeys(names[struct] for struct in table.values())
        schemas[union] = {"anyOf": [*(_ref(name) for name in members), _ANY_OBJECT]}
    schemas["Event"] = {"anyOf": [_ref(names[struct]) for struct in dict.fromkeys(EVENTS.values())]}
    schemas["Error"] = _error()
    _fill(schemas)
    return schemas


def _hook(kind: Any) -> Json:
    """The schema of a field that is decoded in two stages: `_fill` puts the real one in its place."""
    if kind in (msgspec.Raw, Unsent):
        return {"description": "Any JSON."}
    raise NotImplementedError


def _name(struct: type[Any]) -> str:
    return struct.__name__


def _ref(name: str) -> Json:
    return {"$ref": _REF.format(name=name)}


def _list(name: str) -> Json:
    return {"type": "array", "items": _ref(name)}


def _error() -> Json:
    text: Json = {"type": ["string", "null"]}
    fields = {"message": {"type": "string"}, "type": {"type": "string"}, "param": text, "code": text}
    inner = {"type": "object", "properties": fields, "required": list(fields)}
    return {"type": "object", "properties": {"error": inner}, "required": ["error"]}


def _fill(schemas: Json) -> None:
    """Put in the unions that are open to types we do not know."""
    text_or_items: Json = {"anyOf": [{"type": "string"}, _list("Item"), {"type": "null"}]}
    words = {"type": "string", "enum": ["none", "auto", "required"]}
    choice: Json = {"anyOf": [words, _ref("ToolChoiceObject")]}
    for request in ("CreateResponse", "CountTokens"):
        fields = schemas[request]["properties"]
        fields |= {"input": text_or_items, "tools": _list("Tool"), "tool_choice": choice}
        fields.pop("extra", None)
    schemas["CreateChatCompletion"]["properties"].pop("extra")
    _fill_embeddings(schemas)
    schemas["Response"]["properties"] |= {
        "output": _list("Item"),
        "instructions": text_or_items,
        "tools": _list("Tool"),
        "tool_choice": choice,
    }
    schemas["ItemList"]["properties"]["data"] = _list("Item")
    for event in ("OutputItemAdded", "OutputItemDone"):
        schemas[event]["properties"]["item"] = _ref("Item")
    for name, schema in schemas.items():
        if name.startswith("Response") and "response" in schema.get("properties", {}):
            schema["properties"]["response"] = _ref("Response")


def _fill_embeddings(schemas: Json) -> None:
    """What is handed on as it was sent: texts or tokens, and vectors as numbers or in base64."""
    text: Json = {"type": "string", "minLength": 1}
    tokens: Json = {"type": "array", "minItems": 1, "maxItems": 2048, "items": {"type": "integer", "minimum": 0}}
    many: Json = {"type": "array", "minItems": 1, "maxItems": 2048}
    fields = schemas["CreateEmbeddings"]["properties"]
    fields["input"] = {"anyOf": [text, {**many, "items": text}, tokens, {**many, "items": tokens}]}
    fields.pop("count")
    numbers: Json = {"type": "array", "items": {"type": "number"}}
    schemas["Embedding"]["properties"]["embedding"] = {"anyOf": [numbers, {"type": "string"}]}


# Operations


def _paths() -> Json:
    one = "/v1/responses/{response_id}"
    return {
        "/v1/responses": {
            "post": _operation("createResponse", "Response", body="CreateResponse", stream="Event", links=_OF_ONE)
        },
        "/v1/responses/input_tokens": {"post": _operation("countInputTokens", "InputTokens", body="CountTokens")},
        one: {
            "get": _operation("getResponse", "Response", query=_retrieval(), stream="Event"),
            "delete": _operation("deleteResponse", "ResponseDeleted"),
            "parameters": [_ID],
        },
        f"{one}/cancel": {"post": _operation("cancelResponse", "Response"), "parameters": [_ID]},
        f"{one}/input_items": {
            "get": _operation("listInputItems", "ItemList", query=_paging()),
            "parameters": [_ID],
        },
        **_chat_paths(),
        "/v1/moderations": {"post": _operation("createModeration", "ModerationCreated", body="CreateModeration")},
        "/v1/embeddings": {"post": _operation("createEmbedding", "EmbeddingList", body="CreateEmbeddings")},
        "/v1/models": {"get": _operation("listModels", "ModelList")},
        "/v1/models/{model}": {
            "get": _operation("retrieveModel", "ModelObject"),
            "parameters": [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}],
        },
        "/health": {"get": {"operationId": "health", "responses": {"200": {"description": "The server answers."}}}},
        "/ready": {
            "get": {
                "operationId": "ready",
                "responses": {
                    "200": {"description": "Requests can be served."},
                    "503": {
                        "description": "They cannot: the message says why.",
                        "content": {"application/json": {"schema": _ref("Error")}},
                    },
                },
            }
        },
        "/metrics": {
            "get": {
                "operationId": "metrics",
                "responses": {
                    "200": {"description": "In Prometheus' format.", "content": {"text/plain": {}}},
                    "default": {
                        "description": "An error, in the envelope that every error has.",
                        "content": {"application/json": {"schema": _ref("Error")}},
                    },
                },
            }
        },
    }


def _chat_paths() -> Json:
    every, one = "/v1/chat/completions", "/v1/chat/completions/{completion_id}"
    named: list[Json] = [{"name": "completion_id", "in": "path", "required": True, "schema": {"type": "string"}}]
    after, limit, order = (each for each in _paging() if each["name"] in ("after", "limit", "order"))
    order = {**order, "schema": {**order["schema"], "default": "asc"}}
    pairs: Json = {"type": "object", "additionalProperties": True}  # in a query all values are text
    metadata = {**_query("metadata", pairs), "style": "deepObject", "explode": True}
    listing = [after, limit, order, _query("model", {"type": "string"}), metadata]
    return {
        every: {
            "post": _operation(
                "createChatCompletion",
                "ChatCompletion",
                body="CreateChatCompletion",
                stream="ChatCompletionChunk",
            ),
            "get": _operation("listChatCompletions", "ChatCompletionList", query=listing),
        },
        one: {
            "get": _operation("getChatCompletion", "ChatCompletion"),
            "post": _operation("updateChatCompletion", "ChatCompletion", body="UpdateChatCompletion"),
            "delete": _operation("deleteChatCompletion", "ChatCompletionDeleted"),
            "parameters": named,
        },
        f"{one}/messages": {
            "get": _operation("getChatCompletionMessages", "StoredMessageList", query=[after, limit, order]),
            "parameters": named,
        },
    }


_OF_ONE = ("getResponse", "deleteResponse", "cancelResponse", "listInputItems")
"""What can be done with a response that was made."""

_ID: Json = {"name": "response_id", "in": "path", "required": True, "schema": {"type": "string"}}


def _query(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _include() -> Json:
    return _query("include", {"type": "array", "items": {"type": "string", "enum": list(INCLUDABLE)}})


def _retrieval() -> list[Json]:
    boolean: Json = {"type": "boolean"}
    after: Json = {"type": "integer", "minimum": -1}
    return [
        _include(),
        _query("stream", boolean),
        _query("starting_after", after),
        _query("include_obfuscation", boolean),
    ]


def _paging() -> list[Json]:
    return [
        _include(),
        _query("after", {"type": "string"}),
        _query("before", {"type": "string"}),
        _query("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
        _query("order", {"type": "string", "enum": ["asc", "desc"], "default": "desc"}),
    ]


def _operation(
    name: str,
    answer: str,
    *,
    body: str | None = None,
    query: list[Json] | None = None,
    stream: str = "",
    links: Sequence[str] = (),
) -> Json:
    content: Json = {"application/json": {"schema": _ref(answer)}}
    if stream:
        content["text/event-stream"] = {"schema": _ref(stream)}
    operation: Json = {
        "operationId": name,
        "responses": {
            "200": {"description": "OK", "content": content},
            "default": {
                "description": "An error, in the envelope that every error has.",
                "content": {"application/json": {"schema": _ref("Error")}},
            },
        },
    }
    if links:
        taken = {"response_id": "$response.body#/id"}
        operation["responses"]["200"]["links"] = {link: {"operationId": link, "parameters": taken} for link in links}
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    if query:
        operation["parameters"] = query
    return operation
