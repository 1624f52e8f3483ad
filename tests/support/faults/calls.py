"""What the deltas of calls may look like in a Chat Completions stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.support.answers import Answer, stream
from tests.support.chat_chunks import USAGE, ToolCall, chat_stream, chunk, delta_chunk, sse, tool_call_delta
from tests.support.faults.fault import Fault, Outcome, Strikes, fault

NAMED = tool_call_delta(0, "look_up", "", call_id="call_1")
ARGUMENTS = tool_call_delta(0, arguments='{"q": 1}')
SECOND = tool_call_delta(1, "look_up", '{"q": 2}', call_id="call_2")
SAME_ID = (ToolCall("look_up", '{"q": 1}'), ToolCall("look_up", '{"q": 2}'))


def _calls(*deltas: Any, finish_reason: str = "tool_calls") -> Callable[[], Answer]:
    opening = delta_chunk({"role": "assistant", "content": None})
    told = [delta_chunk({"tool_calls": [delta]}) for delta in deltas]
    chunks = [opening, *told, delta_chunk({}, finish_reason=finish_reason), chunk(usage=USAGE)]
    return lambda: stream(sse(chunks))


def _call(
    name: str, outcome: Outcome, strikes: Strikes, answer: Callable[[], Answer], *, also: Iterable[Outcome] = ()
) -> Fault:
    return fault(name, outcome, strikes, answer, also=also, text=None)


def call_faults() -> list[Fault]:
    """Make the faults of calls."""
    return [*_indexes(), *_names(), *_arguments()]


def _indexes() -> list[Fault]:
    unordered = tool_call_delta(None, "look_up", "{}", call_id="call_2")
    return [
        _call("calls_in_reversed_order", "completed", "before", _calls(SECOND, NAMED, ARGUMENTS)),
        _call("calls_interleaved", "completed", "after", _calls(NAMED, SECOND, ARGUMENTS)),
        _call("call_index_with_a_gap", "completed", "before", _calls({**SECOND, "index": 4})),
        _call("call_index_null", "completed", "before", _calls({**SECOND, "index": None}), also=["http_502", "failed"]),
        _call("call_without_index", "completed", "before", _calls(unordered), also=["http_502", "failed"]),
        _call("calls_with_finish_reason_stop", "completed", "after", _calls(NAMED, ARGUMENTS, finish_reason="stop")),
        _call("call_cut_by_length", "incomplete", "after", _calls(NAMED, ARGUMENTS, finish_reason="length")),
    ]


def _names() -> list[Fault]:
    nameless = tool_call_delta(0, arguments="{}", call_id="call_1")
    null = {"index": 0, "id": "call_1", "type": "function", "function": {"name": None, "arguments": "{}"}}
    same_id = stream(chat_stream(tool_calls=SAME_ID))
    return [
        _call("call_without_id", "completed", "before", _calls(tool_call_delta(0, "look_up", "{}"))),
        _call("call_ids_twice", "completed", "after", lambda: same_id),
        _call("call_without_name", "http_502", "before", _calls(nameless), also=["failed"]),
        _call("call_name_null", "http_502", "before", _calls(null), also=["failed"]),
        _call("call_name_twice", "completed", "after", _calls(NAMED, NAMED, ARGUMENTS), also=["failed"]),
        _call("call_arguments_before_name", "completed", "before", _calls(ARGUMENTS, NAMED)),
    ]


def _arguments() -> list[Fault]:
    def argued(arguments: Any) -> Callable[[], Answer]:
        return _calls({**NAMED, "function": {"name": "look_up", "arguments": arguments}})

    half = tool_call_delta(0, arguments='{"q": ')
    return [
        _call("call_arguments_null", "completed", "before", argued(None)),
        _call("call_arguments_object", "completed", "before", argued({"q": 1}), also=["http_502", "failed"]),
        _call("call_arguments_empty", "completed", "before", argued("")),
        _call("call_arguments_broken", "completed", "after", _calls(NAMED, half)),
    ]
