"""What the chunks of a Chat Completions stream may hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

from tests.support.answers import Answer, json_answer, stream
from tests.support.chat_chunks import DONE, chat_chunks, chat_json, chat_stream, chunk, delta_chunk, sse, text_chunk
from tests.support.faults.fault import MEGABYTE, TEXT, Fault, fault

CRASHED = {"message": "The model crashed.", "type": "server_error", "code": 500}
THROTTLED = {"message": "Slow down.", "type": "rate_limit_error", "code": 429}
NAN = b'{"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": null}], "score": NaN}'
BROKEN = b'{"choices": [{"index": 0, "delta": {'


def chunk_faults() -> list[Fault]:
    """Make the faults of chunks; those of calls are elsewhere."""
    return [*_errors(), *_json(), *_sizes(), *_endings(), *_finish_reasons(), *_usages(), *_choices()]


def data(value: Any) -> bytes:
    """Encode one event; bytes are what stands after `data: `, JSON or not."""
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()) + b"\n\n"


@cache
def deep_json() -> bytes:
    """Nest a million arrays."""
    return b'{"choices": ' + b"[" * MEGABYTE + b"]" * MEGABYTE + b"}"


def first(*values: Any) -> Callable[[], Answer]:
    """Put something before the first chunk of a good stream."""
    return lambda: stream([*map(data, values), *chat_stream(TEXT)])


def middle(*values: Any) -> Callable[[], Answer]:
    """Put something after the first words of a good stream."""
    chunks = chat_chunks(TEXT)
    return lambda: stream([*map(data, (*chunks[:3], *values, *chunks[3:])), DONE])


def _errors() -> list[Fault]:
    error, limited = data({"error": CRASHED}), data({"error": THROTTLED})
    begun = chat_stream(TEXT)[:5]
    as_event = [*begun, b"event: error\n" + error]
    return [
        fault("error_first", "http_502", "before", lambda: stream([error, DONE]), also=["http_503"]),
        fault("error_first_429", "http_429", "before", lambda: stream([limited]), also=["http_502", "http_503"]),
        fault("error_after_output", "failed", "after", middle({"error": CRASHED})),
        fault("error_as_text_after_output", "failed", "after", middle({"error": "The model crashed."})),
        fault("error_event_after_output", "failed", "after", lambda: stream(as_event)),
        fault("error_before_done", "failed", "after", lambda: stream([*begun, error, DONE])),
    ]


def _json() -> list[Fault]:
    return [
        fault("nan_first", "http_502", "before", first(NAN), also=["completed"]),
        fault("nan_after_output", "failed", "after", middle(NAN), also=["completed"]),
        fault("broken_json_first", "http_502", "before", first(BROKEN)),
        fault("broken_json_after_output", "failed", "after", middle(BROKEN)),
        fault("deep_json_first", "http_502", "before", lambda: stream([data(deep_json()), DONE])),
        fault("deep_json_after_output", "failed", "after", lambda: middle(deep_json())()),
        fault("array_instead_of_object", "failed", "after", middle([1, 2]), also=["completed"]),
        fault("null_instead_of_object", "failed", "after", middle(None), also=["completed"]),
        fault("data_on_two_lines", "completed", "before", lambda: stream(_two_lines())),
    ]


def _two_lines() -> list[bytes]:
    """Break the JSON of each chunk over two data lines: they are joined by a line break."""
    return [each.replace(b'"choices"', b'\ndata: "choices"') for each in chat_stream(TEXT)]


def _sizes() -> list[Fault]:
    repeated = text_chunk(" quick")
    twice = TEXT.replace("quick", "quick quick")
    return [
        fault("long_line", "completed", "after", _long_line, also=["failed"], text=None),
        fault("long_line_without_end", "failed", "after", _long_line_cut, text=None),
        fault("doubled_chunk", "completed", "after", middle(repeated), text=twice),
        fault("json_instead_of_stream", "completed", "before", lambda: json_answer(chat_json(TEXT)), also=["http_502"]),
    ]


def _long_line() -> Answer:
    return stream(chat_stream(["The quick", "x" * 10 * MEGABYTE]))


def _long_line_cut() -> Answer:
    answer = _long_line()
    return answer.cut_after(answer.after(b"xxx") + 9 * MEGABYTE)


def _endings() -> list[Fault]:
    whole = chat_stream(TEXT)
    more = data(text_chunk(" more"))
    finished = stream(whole)
    return [
        fault("two_done", "completed", "after", lambda: stream([*whole, DONE])),
        fault("no_done", "completed", "after", lambda: stream(whole[:-1])),
        fault("data_after_done", "completed", "after", lambda: stream([*whole, more])),
        fault("only_done", "http_502", "before", lambda: stream([DONE])),
        fault(
            "cut_after_finish_reason",
            "completed",
            "after",
            lambda: finished.cut_after(finished.after(b'"finish_reason": "stop"}]}\n\n\r\n')),
            also=["failed"],
        ),
    ]


def _finish_reasons() -> list[Fault]:
    def finished(reason: str) -> Callable[[], Answer]:
        return lambda: stream(chat_stream(TEXT, finish_reason=reason))

    *texts, finish, usage = chat_chunks(TEXT)
    late = sse([*texts[:-1], finish, texts[-1], usage])
    return [
        fault("finish_reason_unknown", "completed", "after", finished("banana")),
        fault("finish_reason_length", "incomplete", "after", finished("length")),
        fault("finish_reason_content_filter", "incomplete", "after", finished("content_filter")),
        fault("finish_reason_missing", "completed", "after", lambda: stream(sse(texts)), also=["failed"]),
        fault("no_finish_reason_no_done", "failed", "after", lambda: stream(sse(texts, done=False))),
        fault("text_after_finish_reason", "completed", "after", lambda: stream(late), also=["failed"]),
    ]


def _usages() -> list[Fault]:
    def told(usage: Any) -> Callable[[], Answer]:
        return lambda: stream(chat_stream(TEXT, usage=usage))

    nulls = [{**each, "usage": None} for each in chat_chunks(TEXT, usage=None)]
    return [
        fault("usage_missing", "completed", "after", told(None)),
        fault("usage_null_in_chunks", "completed", "after", lambda: stream(sse(nulls))),
        fault("usage_without_details", "completed", "after", told({"prompt_tokens": 17, "completion_tokens": 23})),
        fault("usage_of_wrong_type", "completed", "after", told({"prompt_tokens": "many"}), also=["failed"]),
    ]


def _choices() -> list[Fault]:
    second = delta_chunk({"content": "another answer"}, index=1)
    no_choices = {**chunk(), "choices": None}
    return [
        fault("choices_empty", "completed", "before", first(chunk(prompt_filter_results=[]))),
        fault("choices_null", "completed", "before", first(no_choices), also=["http_502"]),
        fault("choices_missing", "completed", "before", first({"id": "x"}), also=["http_502"]),
        fault("delta_null", "completed", "after", middle(delta_chunk(None)), also=["failed"]),
        fault("delta_missing", "completed", "after", middle(chunk({"index": 0})), also=["failed"]),
        fault("content_null", "completed", "after", middle(delta_chunk({"content": None}))),
        fault("content_number", "failed", "after", middle(delta_chunk({"content": 7})), also=["completed"]),
        fault("second_choice", "completed", "after", middle(second)),
        fault("another_id", "completed", "after", middle({**delta_chunk({"content": ""}), "id": "chatcmpl-2"})),
        fault("calls_null", "completed", "after", middle(delta_chunk({"tool_calls": None}))),
    ]
