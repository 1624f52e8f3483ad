"""Streams of the Responses API, written out literally: what an upstream that speaks it sends.

`responses_stream(message("Hi"), function_call("f", "{}"))` gives the SSE chunks, `response_events` the events as
objects, `responses_json` the Response of a plain answer. Each function named like a type of item gives one item: how
it opens, the events between, and how it is done; numbers, indexes and ids are filled in when the stream is put
together. Nothing is shared with the server, so that the two can be compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, Literal

from tests.support.words import split_words

Json = dict[str, Any]
End = Literal["completed", "failed", "incomplete"]

CREATED_AT = 1_760_000_000
USAGE: Json = {
    "input_tokens": 17,
    "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
    "output_tokens": 23,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 40,
}
FAILURE: Json = {"code": "server_error", "message": "The model failed to generate a response."}


@dataclass(frozen=True)
class ScriptedItem:
    """One output item: `added`, the events between (without number, index and id), `done`. Neither item has an id."""

    added: Json
    between: tuple[Json, ...]
    done: Json
    item_id: str | None = None

    def named(self, item_id: str) -> ScriptedItem:
        """Give the item an id of its own instead of a counted one."""
        return replace(self, item_id=item_id)

    def cut(self, keep: int, **changes: Any) -> ScriptedItem:
        """Keep the first events between, and close the item as incomplete; `changes` go into the done item."""
        return replace(self, between=self.between[:keep], done={**self.done, "status": "incomplete", **changes})


def _event(name: str, **fields: Any) -> Json:
    return {"type": f"response.{name}", **fields}


def _told(family: str, field: str, text: str, **fields: Any) -> list[Json]:
    """Tell a text by deltas and a `done` that repeats it."""
    deltas = [_event(f"{family}.delta", **fields, delta=delta) for delta in split_words(text)]
    return [*deltas, _event(f"{family}.done", **fields, **{field: text})]


def silent(item_type: str, **fields: Any) -> ScriptedItem:
    """Make an item that no event tells: it is added as it is done."""
    item = {"type": item_type, **fields}
    return ScriptedItem(item, (), item)


def _part(index: int, empty: Json, full: Json, told: Sequence[Json]) -> list[Json]:
    return [
        _event("content_part.added", content_index=index, part=empty),
        *told,
        _event("content_part.done", content_index=index, part=full),
    ]


# Parts of a message


@dataclass(frozen=True)
class Part:
    """One content part of a message: how it opens, what tells it, how it is done; `{index}` is filled in later."""

    empty: Json
    told: tuple[Json, ...]
    full: Json


def output_text(text: str, *, annotations: Sequence[Json] = (), logprobs: bool = False) -> Part:
    """Make a text part; `annotations` come after the text, `logprobs` gives each delta one token's."""
    words = split_words(text)
    tokens = [{"token": word, "logprob": -0.25, "top_logprobs": []} for word in words] if logprobs else []
    deltas = [
        _event("output_text.delta", delta=word, logprobs=tokens[number : number + 1])
        for number, word in enumerate(words)
    ]
    cited = [
        _event("output_text.annotation.added", annotation_index=number, annotation=annotation)
        for number, annotation in enumerate(annotations)
    ]
    done = _event("output_text.done", text=text, logprobs=tokens)
    full = {
        "type": "output_text",
        "annotations": list(annotations),
        "logprobs": [{**token, "bytes": list(str(token["token"]).encode())} for token in tokens],
        "text": text,
    }
    return Part({"type": "output_text", "annotations": [], "logprobs": [], "text": ""}, (*deltas, *cited, done), full)


def refusal(text: str) -> Part:
    """Make a refusal part."""
    return Part(
        {"type": "refusal", "refusal": ""},
        tuple(_told("refusal", "refusal", text)),
        {"type": "refusal", "refusal": text},
    )


def url_citation(url: str = "https://example.com/fox", start: int = 0, end: int = 3) -> Json:
    """Make an annotation that cites a page."""
    return {"type": "url_citation", "start_index": start, "end_index": end, "title": "Fox", "url": url}


# Items


def message(*parts: str | Part, phase: str | None = None) -> ScriptedItem:
    """Make an assistant message of text and refusal parts."""
    made = [output_text(part) if isinstance(part, str) else part for part in parts]
    between: list[Json] = []
    for index, part in enumerate(made):
        told = [{**event, "content_index": index} for event in part.told]
        between += _part(index, part.empty, part.full, told)
    fields = {"type": "message", "role": "assistant"} | ({} if phase is None else {"phase": phase})
    done = {**fields, "status": "completed", "content": [part.full for part in made]}
    return ScriptedItem({**fields, "status": "in_progress", "content": []}, tuple(between), done)


def reasoning(
    *summary: str, text: Sequence[str] = (), encrypted_content: str | None = None, status: str | None = None
) -> ScriptedItem:
    """Make a reasoning item: summary parts first, then parts of its own text."""
    between: list[Json] = []
    for index, part in enumerate(summary):
        full = {"type": "summary_text", "text": part}
        between += [
            _event("reasoning_summary_part.added", summary_index=index, part={"type": "summary_text", "text": ""}),
            *_told("reasoning_summary_text", "text", part, summary_index=index),
            _event("reasoning_summary_part.done", summary_index=index, part=full),
        ]
    contents = [{"type": "reasoning_text", "text": part} for part in text]
    for index, content in enumerate(contents):
        told = _told("reasoning_text", "text", content["text"], content_index=index)
        between += _part(index, {"type": "reasoning_text", "text": ""}, content, told)
    added: Json = {"type": "reasoning", "summary": [], "encrypted_content": encrypted_content and encrypted_content[:4]}
    done = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": part} for part in summary],
        "encrypted_content": encrypted_content,
    }
    done |= ({"content": contents} if contents else {}) | ({"status": status} if status else {})
    return ScriptedItem(added, tuple(between), done)


def function_call(name: str, arguments: str, *, call_id: str = "call_1", **fields: Any) -> ScriptedItem:
    """Make a call of a function of the client's; `fields` such as namespace stand in both items."""
    item = {"type": "function_call", "name": name, "call_id": call_id, **fields}
    return ScriptedItem(
        {**item, "status": "in_progress", "arguments": ""},
        tuple(_told("function_call_arguments", "arguments", arguments)),
        {**item, "status": "completed", "arguments": arguments},
    )


def custom_tool_call(name: str, text: str, *, call_id: str = "call_1") -> ScriptedItem:
    """Make a call of a custom tool with free text as input."""
    item = {"type": "custom_tool_call", "name": name, "call_id": call_id}
    between = tuple(_told("custom_tool_call_input", "input", text))
    return ScriptedItem(
        {**item, "status": "in_progress", "input": ""}, between, {**item, "status": "completed", "input": text}
    )


def _steps(name: str, *steps: str) -> list[Json]:
    return [_event(f"{name}.{step}") for step in steps]


def web_search_call(query: str) -> ScriptedItem:
    """Make a web search; what it searched is told when it is done."""
    return ScriptedItem(
        {"type": "web_search_call", "status": "in_progress"},
        tuple(_steps("web_search_call", "in_progress", "searching", "completed")),
        {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": query}},
    )


def file_search_call(query: str, *, results: Sequence[Json] | None = None) -> ScriptedItem:
    """Make a file search; `results` is null unless the request included them."""
    item = {"type": "file_search_call"}
    return ScriptedItem(
        {**item, "status": "in_progress", "queries": [], "results": None},
        tuple(_steps("file_search_call", "in_progress", "searching", "completed")),
        {**item, "status": "completed", "queries": [query], "results": None if results is None else list(results)},
    )


def code_interpreter_call(code: str, *, outputs: Sequence[Json] | None = None) -> ScriptedItem:
    """Make a run of code; `outputs` is null unless the request included them."""
    item = {"type": "code_interpreter_call", "container_id": "cntr_1"}
    between = (
        *_steps("code_interpreter_call", "in_progress"),
        *_told("code_interpreter_call_code", "code", code),
        *_steps("code_interpreter_call", "interpreting", "completed"),
    )
    return ScriptedItem(
        {**item, "status": "in_progress", "code": "", "outputs": None},
        between,
        {**item, "status": "completed", "code": code, "outputs": None if outputs is None else list(outputs)},
    )


def image_generation_call(result: str, *, partial: Sequence[str] = ()) -> ScriptedItem:
    """Make an image; `partial` are its previews, base64 as the result."""
    previews = [
        _event("image_generation_call.partial_image", partial_image_index=number, partial_image_b64=preview)
        for number, preview in enumerate(partial)
    ]
    return ScriptedItem(
        {"type": "image_generation_call", "status": "in_progress", "result": None},
        (
            *_steps("image_generation_call", "in_progress", "generating"),
            *previews,
            *_steps("image_generation_call", "completed"),
        ),
        {"type": "image_generation_call", "status": "completed", "result": result},
    )


def mcp_list_tools(server_label: str, *names: str, error: str | None = None) -> ScriptedItem:
    """Make the list of an MCP server's tools; with an error it failed."""
    item = {"type": "mcp_list_tools", "server_label": server_label}
    tools = [{"name": name, "input_schema": {"type": "object"}} for name in names]
    return ScriptedItem(
        {**item, "tools": []},
        tuple(_steps("mcp_list_tools", "in_progress", "failed" if error else "completed")),
        {**item, "tools": tools} | ({"error": error} if error else {}),
    )


def mcp_call(name: str, arguments: str, *, output: str | None = "done", error: Json | None = None) -> ScriptedItem:
    """Make a call of an MCP server's tool; with an error it failed."""
    item = {"type": "mcp_call", "server_label": "deploys", "name": name, "approval_request_id": None}
    between = (
        *_steps("mcp_call", "in_progress"),
        *_told("mcp_call_arguments", "arguments", arguments),
        *_steps("mcp_call", "failed" if error else "completed"),
    )
    ended = {"status": "failed", "output": None, "error": error} if error else {"status": "completed", "output": output}
    return ScriptedItem(
        {**item, "status": "in_progress", "arguments": "", "output": None, "error": None},
        between,
        {**item, "arguments": arguments, "error": None, **ended},
    )


def shell_call(*commands: str, call_id: str = "call_1") -> ScriptedItem:
    """Make a call of the shell tool; its events carry no item_id."""
    between: list[Json] = []
    for index, command in enumerate(commands):
        between.append(_event("shell_call_command.added", command_index=index, command=""))
        between += _told("shell_call_command", "command", command, command_index=index)
    item = {"type": "shell_call", "call_id": call_id, "environment": None}
    limits = {"max_output_length": None, "timeout_ms": None}
    return ScriptedItem(
        {**item, "status": "in_progress", "action": {"commands": [], **limits}},
        tuple(between),
        {**item, "status": "completed", "action": {"commands": list(commands), **limits}},
    )


def shell_call_output(*stdout: str, call_id: str = "call_1") -> ScriptedItem:
    """Make what the commands of a shell call printed, one text a command."""
    between: list[Json] = []
    outputs: list[Json] = []
    for index, text in enumerate(stdout):
        output = {"stdout": text, "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
        deltas = [{"stdout": word} for word in split_words(text)]
        between += [_event("shell_call_output_content.delta", command_index=index, delta=delta) for delta in deltas]
        between.append(_event("shell_call_output_content.done", command_index=index, output=[output]))
        outputs.append(output)
    item = {"type": "shell_call_output", "call_id": call_id, "max_output_length": None}
    return ScriptedItem(
        {**item, "status": "in_progress", "output": []},
        tuple(between),
        {**item, "status": "completed", "output": outputs},
    )


def apply_patch_call(path: str, diff: str | None, *, call_id: str = "call_1") -> ScriptedItem:
    """Make a patch of a file; without a diff the file is deleted."""
    item = {"type": "apply_patch_call", "call_id": call_id}
    operation: Json = {"type": "delete_file" if diff is None else "update_file", "path": path}
    opening, full = ({}, {}) if diff is None else ({"diff": ""}, {"diff": diff})
    return ScriptedItem(
        {**item, "status": "in_progress", "operation": operation | opening},
        () if diff is None else tuple(_told("apply_patch_call_operation_diff", "diff", diff)),
        {**item, "status": "completed", "operation": operation | full},
    )


def compaction(encrypted_content: str) -> ScriptedItem:
    """Make a compaction of the conversation."""
    return ScriptedItem(
        {"type": "compaction", "encrypted_content": encrypted_content[:4]},
        (_event("compaction.compacting"),),
        {"type": "compaction", "encrypted_content": encrypted_content},
    )


def mcp_approval_request(name: str, arguments: str) -> ScriptedItem:
    """Make a question whether an MCP tool may be called."""
    return silent("mcp_approval_request", server_label="deploys", name=name, arguments=arguments)


def local_shell_call(*command: str) -> ScriptedItem:
    """Make a call of the client's own shell."""
    action = {"type": "exec", "command": list(command), "env": {}}
    return silent("local_shell_call", call_id="call_1", status="completed", action=action)


def computer_call(action: Json) -> ScriptedItem:
    """Make one action on a screen."""
    return silent("computer_call", call_id="call_1", status="completed", action=action, pending_safety_checks=[])


def opaque(item_type: str, *steps: str, **fields: Any) -> ScriptedItem:
    """Make an item of a type that no client knows, with a progress event for each step."""
    item = {"type": item_type, **fields}
    between = tuple(_event(f"{item_type}.{step}", step=step) for step in steps)
    return ScriptedItem({**item, "status": "in_progress"}, between, {**item, "status": "completed"})


# The stream


def response_events(
    *items: ScriptedItem,
    end: End = "completed",
    reason: str = "max_output_tokens",
    background: bool = False,
    interleaved: bool = False,
    **fields: Any,
) -> list[Json]:
    """Put a whole stream together.

    `end` is how it ends, `reason` why an incomplete one does; `interleaved` has all items open side by side;
    `fields` stand in every snapshot of the Response (model, tools, metadata...).
    """
    named = [item if item.item_id else item.named(f"item_{number}") for number, item in enumerate(items)]
    output = [{"id": item.item_id, **item.done} for item in named]
    last = _ending(end, reason, output)
    first: Json = {"status": "queued"} if background else {}
    events = [
        _event("created", response=response_object(**first, **fields)),
        *([_event("queued", response=response_object(status="queued", **fields))] if background else []),
        _event("in_progress", response=response_object(**fields)),
        *_merged([list(_item_events(item, index)) for index, item in enumerate(named)], interleaved),
        _event(end, response=response_object(**{**last, **fields})),
    ]
    numbered = [{**event, "sequence_number": number} for number, event in enumerate(events)]
    separate: list[Json] = json.loads(json.dumps(numbered))  # no object in two events: a test may change one
    return separate


def responses_stream(*items: ScriptedItem, **options: Any) -> list[bytes]:
    """Put a whole stream together as SSE chunks, one an event; the options are those of `response_events`."""
    return sse_of(response_events(*items, **options))


def responses_json(*items: ScriptedItem, **options: Any) -> Json:
    """Give the Response that a plain request gets for the same items."""
    response: Json = response_events(*items, **options)[-1]["response"]
    return response


def sse_of(events: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """Encode events as the API does: an event line, a data line, a blank line."""
    return [f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode() for event in events]


def response_object(*, status: str = "in_progress", output: Sequence[Json] = (), **fields: Any) -> Json:
    """Give a Response with every key that a live one has."""
    return {
        "id": "resp_upstream",
        "object": "response",
        "created_at": CREATED_AT,
        "completed_at": None,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "model": "upstream-model",
        "output": list(output),
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        **fields,
    }


def _ending(end: End, reason: str, output: Sequence[Json]) -> Json:
    match end:
        case "completed":
            return {"status": end, "output": output, "usage": USAGE, "completed_at": CREATED_AT + 2}
        case "incomplete":
            return {"status": end, "output": output, "usage": USAGE, "incomplete_details": {"reason": reason}}
        case "failed":
            return {"status": end, "output": output, "error": FAILURE}


def _item_events(item: ScriptedItem, index: int) -> Iterator[Json]:
    place: Json = {"output_index": index}
    yield _event("output_item.added", **place, item={"id": item.item_id, **item.added})
    for event in item.between:
        owner = {} if event["type"].startswith("response.shell_call_command.") else {"item_id": item.item_id}
        yield {**event, **place, **owner}
    yield _event("output_item.done", **place, item={"id": item.item_id, **item.done})


def _merged(streams: Sequence[Sequence[Json]], interleaved: bool) -> list[Json]:
    if not interleaved:
        return [event for stream in streams for event in stream]
    return [event for row in zip_longest(*streams) for event in row if event is not None]
