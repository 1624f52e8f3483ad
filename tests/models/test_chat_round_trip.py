"""Chat → Responses → chat keeps meaning: what a client asks is what a Chat Completions upstream is asked, and what that
answers is what the client gets. One half is `antiphon.turn.chat`, the other the backend `chat_completions`.

*Meaning* leaves out what both APIs can say in several ways: a text as one part, a refusal of earlier turns as text, a
custom tool as a function of one text, a function that is not strict.
"""

from __future__ import annotations

import json
from itertools import count
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from antiphon.engine import ids
from antiphon.models.chat_request import ChatOptions, chat_body
from antiphon.models.chat_stream import ChatReader
from antiphon.models.chat_tools import ChatTools
from antiphon.turn.chat import completion_of, response_request
from antiphon.turn.deltas import Finished
from antiphon.turn.deltas import Usage as UsageDelta
from antiphon.turn.input import Turn, assemble, effective
from antiphon.wire.chat import decode_chat
from antiphon.wire.errors import Unavailable
from antiphon.wire.request import CreateResponse
from antiphon.wire.struct import encode
from tests.support import chat_oracle
from tests.support.chat_chunks import ToolCall, chat_chunks, sse
from tests.turn.telling import AT, begun

Json = dict[str, Any]
UPSTREAM = ChatOptions(
    base_url="https://api.openai.com/v1/", model="m", developer_role="developer", send_reasoning="all"
)

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
NAMES = st.sampled_from(["look_up", "add", "weather"])
OBJECTS = st.dictionaries(WORDS, st.integers() | WORDS, max_size=2)
PIXEL = "data:image/png;base64,iVBORw0KGgo="


# What a client may ask


def texts() -> st.SearchStrategy[Any]:
    """A content of text: as a string, or in parts."""
    return WORDS | st.lists(st.builds(lambda text: {"type": "text", "text": text}, WORDS), min_size=1, max_size=2)


PARTS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, WORDS),
    st.sampled_from(
        [
            {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/fox.png"}},
            {"type": "file", "file": {"file_data": "data:text/plain;base64,aGk=", "filename": "hi.txt"}},
        ]
    ),
)


@st.composite
def said_to_it(draw: st.DrawFn) -> list[Json]:
    role = draw(st.sampled_from(["user", "system", "developer"]))
    content = draw(texts() | st.lists(PARTS, min_size=1, max_size=3) if role == "user" else texts())
    return [{"role": role, "content": content}]


@st.composite
def said_by_it(draw: st.DrawFn, numbers: Any) -> list[Json]:
    """An answer, and the outputs of its calls in any order."""
    calls = [draw(called(next(numbers))) for _ in range(draw(st.integers(0, 2)))]
    message: Json = {"role": "assistant", "content": draw(texts() if not calls else st.none() | texts())}
    if calls:
        message["tool_calls"] = calls
    if draw(st.booleans()):
        message["reasoning_content"] = draw(WORDS)
    if not calls and draw(st.booleans()):
        message["content"], message["refusal"] = None, draw(WORDS)
    outputs = [{"role": "tool", "tool_call_id": call["id"], "content": draw(texts())} for call in calls]
    return [message, *draw(st.permutations(outputs))]


@st.composite
def called(draw: st.DrawFn, number: int) -> Json:
    name, call_id = draw(NAMES), f"call_{number}"
    if draw(st.booleans()):
        return {"id": call_id, "type": "custom", "custom": {"name": name, "input": draw(WORDS)}}
    arguments = json.dumps(draw(OBJECTS))
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


@st.composite
def called_the_old_way(draw: st.DrawFn) -> list[Json]:
    name = draw(NAMES)
    return [
        {"role": "assistant", "content": None, "function_call": {"name": name, "arguments": json.dumps(draw(OBJECTS))}},
        {"role": "function", "name": name, "content": draw(WORDS)},
    ]


@st.composite
def tools(draw: st.DrawFn) -> Json:
    """Tools, or functions, and a choice among them."""
    names = draw(st.lists(NAMES, unique=True, max_size=3))
    definitions = [_given(name=name, description=draw(st.none() | WORDS), parameters=draw(SCHEMAS)) for name in names]
    choice = draw(st.none() | st.sampled_from(["none", "auto", *names]))
    if names and draw(st.booleans()):
        return _given(functions=definitions, function_call={"name": choice} if choice in names else choice)
    customs = [draw(st.booleans()) for _ in names]
    kinds = ["custom" if custom else "function" for custom in customs]
    told = [
        {"type": kind, kind: {"name": d["name"]} if kind == "custom" else {**d, **draw(STRICT)}}
        for kind, d in zip(kinds, definitions, strict=True)
    ]
    chosen: Any = choice
    if choice in names:
        kind = kinds[names.index(choice)]
        chosen = {"type": kind, kind: {"name": choice}}
    return _given(
        tools=told or None,
        tool_choice=chosen,
        parallel_tool_calls=draw(st.none() | st.booleans()),
    )


SCHEMAS = st.sampled_from([None, {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}])
STRICT = st.sampled_from([{}, {"strict": True}, {"strict": False}])


@st.composite
def settings(draw: st.DrawFn) -> Json:
    schema = {"name": "a", "schema": {"type": "object"}, **draw(STRICT)}
    logprobs = draw(st.sampled_from([{}, {"logprobs": True}, {"logprobs": True, "top_logprobs": 2}]))
    limit = draw(st.sampled_from(["max_tokens", "max_completion_tokens"]))
    formats = [None, {"type": "json_object"}, {"type": "json_schema", "json_schema": schema}]
    return _given(
        **{limit: draw(st.none() | st.integers(1, 99))},
        **logprobs,
        temperature=draw(st.none() | st.sampled_from([0.0, 0.5, 2.0])),
        top_p=draw(st.none() | st.just(0.5)),
        reasoning_effort=draw(st.none() | st.sampled_from(["none", "low", "high"])),
        verbosity=draw(st.none() | st.sampled_from(["low", "high"])),
        response_format=draw(st.sampled_from(formats)),
        user=draw(st.none() | WORDS),
        service_tier=draw(st.none() | st.just("flex")),
        prompt_cache_key=draw(st.none() | WORDS),
        seed=draw(st.none() | st.integers(0, 9)),
        stop=draw(st.none() | WORDS | st.lists(WORDS, min_size=1, max_size=4)),
        presence_penalty=draw(st.none() | st.just(0.5)),
        logit_bias=draw(st.none() | st.just({"50256": -100.0})),
    )


def _given(**fields: Any) -> Json:
    return {name: value for name, value in fields.items() if value is not None}


@st.composite
def requests(draw: st.DrawFn) -> Json:
    numbers = count()
    answers = st.one_of(st.just([]), said_by_it(numbers), called_the_old_way())
    turns = draw(st.lists(st.tuples(said_to_it(), answers), min_size=1, max_size=3))
    messages = [message for asked, answered in turns for message in [*asked, *answered]]
    return {"model": "m", "messages": messages, **draw(tools()), **draw(settings())}


# What is meant


def meant(body: Json) -> Json:
    """A request without the freedom in how it is said."""
    told = {name: value for name, value in body.items() if name not in _RENAMED and value not in (None, [], {})}
    told["messages"] = _conversation(body["messages"])
    told["limit"] = body.get("max_tokens") or body.get("max_completion_tokens")
    declared = body.get("tools") or [{"type": "function", "function": each} for each in body.get("functions", ())]
    told["tools"] = [_declared(tool) for tool in declared]
    choice = body.get("tool_choice", body.get("function_call", "auto"))
    told["choice"] = (choice if isinstance(choice, str) else _named(choice)) if declared else "auto"
    told["parallel"] = not declared or (body.get("parallel_tool_calls") is not False and not body.get("functions"))
    return told


_RENAMED = (
    *("messages", "max_tokens", "max_completion_tokens", "tools", "functions", "tool_choice", "function_call"),
    *("parallel_tool_calls", "stream", "stream_options"),
)


def _conversation(messages: list[Json]) -> list[Any]:
    """Messages, with the outputs of calls in the order of the calls."""
    told: list[Any] = []
    for message in messages:
        match message["role"]:
            case "assistant":
                said = "".join(map(_words, _parts(message.get("content")))) + (message.get("refusal") or "")
                calls = [*message.get("tool_calls", ()), *_old(message)]
                answers = dict.fromkeys(call["id"] for call in calls)
                told.append(
                    ["assistant", said, [_called(call) for call in calls], message.get("reasoning_content"), answers]
                )
            case "tool":
                answers = told[-1][-1]
                answers[message["tool_call_id"]] = "\n".join(map(_words, _parts(message["content"])))
            case "function":
                told[-1][-1]["old"] = message["content"]
            case role:
                parts = _parts(message["content"])
                plain = all(part["type"] == "text" for part in parts)
                told.append([role, "\n".join(map(_words, parts)) if plain else [_shown(part) for part in parts]])
    return [[*each[:-1], list(each[-1].values())] if each[0] == "assistant" else each for each in told]


def _old(message: Json) -> list[Json]:
    called_ = message.get("function_call")
    return [{"id": "old", "type": "function", "function": called_}] if called_ else []


def _parts(content: Any) -> list[Json]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def _words(part: Json) -> str:
    return str(part["text"])


def _shown(part: Json) -> Json:
    if part["type"] == "image_url":
        return {"image": part["image_url"]["url"], "detail": part["image_url"].get("detail", "auto")}
    return part


def _called(call: Json) -> tuple[str, Any]:
    if call["type"] == "custom":
        return call["custom"]["name"], {"input": call["custom"]["input"]}
    return call["function"]["name"], json.loads(call["function"]["arguments"])


def _declared(tool: Json) -> Json:
    if tool["type"] == "custom":
        return {"name": tool["custom"]["name"], "fields": ["input"], "strict": False}
    function = tool["function"]
    fields = [*(function.get("parameters") or {}).get("properties", ())]
    return {"name": function["name"], "fields": fields, "strict": bool(function.get("strict"))}


def _named(choice: Json) -> str:
    inner = choice.get(str(choice.get("type")), choice)
    return f"!{inner['name']}"


def asked_of_an_upstream(request: CreateResponse) -> Json:
    """What the backend asks for a Responses request."""
    own = effective(request.input or [], ids.input_ids("resp_1"))
    turn = Turn(request=request, items=assemble([], own))
    body: Json = msgspec.json.decode(encode(chat_body(turn, UPSTREAM, ChatTools(request.tools))))
    return body


@given(requests())
def test_what_a_client_asks_is_what_an_upstream_is_asked(body: Json):
    request = response_request(decode_chat(encode(body)))
    assert meant(asked_of_an_upstream(request)) == meant(body)


# What an upstream answers


@st.composite
def answers(draw: st.DrawFn) -> list[Json]:
    """The chunks of an answer."""
    calls = [
        ToolCall(draw(NAMES), json.dumps(draw(OBJECTS)), id=f"call_{number}")
        for number in range(draw(st.integers(0, 2)))
    ]
    return chat_chunks(
        draw(st.lists(WORDS, max_size=3)),
        tool_calls=calls,
        reasoning=draw(st.just("") | WORDS),
        refusal=draw(st.just("") | WORDS) if not calls else "",
        logprobs=draw(st.booleans()),
        finish_reason=draw(st.sampled_from([None, "length", "content_filter"])),
    )


@given(answers())
def test_what_an_upstream_answers_is_what_the_client_gets(chunks: list[Json]):
    reader = ChatReader(ChatTools([]), new_id=lambda: "call_x", fault=lambda _: Unavailable("?"), think_tags=False)
    deltas = reader.feed([(None, data.removeprefix(b"data: ").strip()) for data in sse(chunks)]) + reader.close()
    assert reader.failure is None
    machine, _ = begun(include=["message.output_text.logprobs"])
    machine.feed([*deltas, *([UsageDelta(reader.usage)] if reader.usage else []), Finished(reader.incomplete)])
    machine.finish(AT)
    made = msgspec.json.decode(encode(completion_of(machine.fold.response())))
    said, sent = chat_oracle.said_in(made), chat_oracle.assembled(chunks)
    for one in (said, sent):
        one["message"] = {name: value for name, value in one["message"].items() if value}
    assert said == sent
    assert made["usage"]["total_tokens"] == chunks[-1]["usage"]["total_tokens"]
