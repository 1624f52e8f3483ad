"""What the events of an upstream that speaks the Responses API may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.support.answers import Answer, json_answer, stream
from tests.support.chat_chunks import DONE
from tests.support.faults.chunks import data, deep_json
from tests.support.faults.fault import TEXT, Fault, fault
from tests.support.response_events import message, opaque, response_events, responses_json, responses_stream, sse_of

Events = list[dict[str, Any]]

FLAT_ERROR = {"type": "error", "sequence_number": 6, "code": "server_error", "message": "It crashed.", "param": None}
NESTED_ERROR = {"type": "error", "sequence_number": 6, "error": {"code": "server_error", "message": "It crashed."}}
UNKNOWN = {"type": "response.sparkle.added", "sequence_number": 7, "glitter": True}
AFTER_OUTPUT = 6  # created, in_progress, item, part and two deltas


def event_faults() -> list[Fault]:
    """Make the faults of events."""
    return [*_terminals(), *_missing(), *_unexpected(), *_broken()]


def _changed(change: Callable[[Events], Sequence[Mapping[str, Any]]]) -> Callable[[], Answer]:
    """Change the events of a good stream."""
    return lambda: stream(sse_of(change(response_events(message(TEXT)))))


def _without(key: str) -> Callable[[], Answer]:
    return _changed(lambda events: [{name: event[name] for name in event if name != key} for event in events])


def _dropped(part: str) -> Callable[[], Answer]:
    return _changed(lambda events: [event for event in events if part not in event["type"]])


def _terminals() -> list[Fault]:
    failed, failed_first = responses_stream(message(TEXT), end="failed"), responses_stream(end="failed")
    cut = responses_stream(_cut_message(), end="incomplete")
    return [
        fault("no_terminal_event", "failed", "after", _changed(lambda events: events[:-1])),
        fault("failed", "failed", "after", lambda: stream(failed)),
        fault("failed_first", "http_502", "before", lambda: stream(failed_first), also=["http_503"]),
        fault("incomplete", "incomplete", "after", lambda: stream(cut)),
        fault("flat_error", "failed", "after", _changed(lambda events: [*events[:AFTER_OUTPUT], FLAT_ERROR])),
        fault("nested_error", "failed", "after", _changed(lambda events: [*events[:AFTER_OUTPUT], NESTED_ERROR])),
        fault("usage_null_at_the_end", "completed", "after", _changed(_without_usage)),
    ]


def _cut_message() -> Any:
    whole = message(TEXT)
    return whole.cut(len(whole.between))


def _without_usage(events: Events) -> Events:
    events[-1]["response"]["usage"] = None
    return events


def _missing() -> list[Fault]:
    return [
        fault("no_numbers", "completed", "before", _without("sequence_number")),
        fault("no_logprobs", "completed", "after", _without("logprobs")),
        fault("no_in_progress", "completed", "before", _dropped("in_progress")),
        fault("no_content_part", "completed", "after", _dropped("content_part"), also=["failed"]),
        fault("no_item_added", "completed", "after", _dropped("output_item.added"), also=["failed", "http_502"]),
        fault("no_item_done", "completed", "after", _dropped("output_item.done"), also=["failed"]),
        fault("no_deltas", "completed", "after", _dropped(".delta")),
    ]


def _unexpected() -> list[Fault]:
    keepalive = {"type": "keepalive", "sequence_number": 0}
    strange = responses_stream(message(TEXT), opaque("sparkle_call", "twinkling", level=3))
    whole = responses_stream(message(TEXT))
    doubled = [*whole[:AFTER_OUTPUT], whole[AFTER_OUTPUT - 1], *whole[AFTER_OUTPUT:]]
    return [
        fault("keepalive_first", "completed", "before", _changed(lambda events: [keepalive, *events])),
        fault(
            "unknown_event", "completed", "after", _changed(lambda e: [*e[:AFTER_OUTPUT], UNKNOWN, *e[AFTER_OUTPUT:]])
        ),
        fault("unknown_item", "completed", "after", lambda: stream(strange)),
        fault("other_id_in_done", "completed", "after", _changed(_other_id), also=["failed"]),
        fault("doubled_event", "completed", "after", lambda: stream(doubled), also=["failed"], text=None),
        fault("events_after_the_end", "completed", "after", lambda: stream([*whole, whole[5]])),
        fault("done_marker", "completed", "after", lambda: stream([*whole, DONE])),
    ]


def _other_id(events: Events) -> Events:
    for event in events:
        if event["type"] == "response.output_item.done":
            event["item"]["id"] = "item_other"
    return events


def _broken() -> list[Fault]:
    begun = responses_stream(message(TEXT))[:AFTER_OUTPUT]
    answer = responses_json(message(TEXT))
    return [
        fault("broken_json", "failed", "after", lambda: stream([*begun, b"data: {\n\n"])),
        fault("deep_json", "failed", "after", lambda: stream([*begun, data(deep_json())])),
        fault("json_instead_of_stream", "completed", "before", lambda: json_answer(answer), also=["http_502"]),
    ]
