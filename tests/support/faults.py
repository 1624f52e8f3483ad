"""Everything that an upstream is known to do wrong, each with what a server must make of it.

`FAULTS` is for a Chat Completions upstream, `RESPONSES_FAULTS` for one that speaks the Responses API. A fault is called
to get its answer: `upstream.always(FAULTS["cut_between_events"]())`.

How the outcomes are chosen:

- A request that the upstream refused for what it is (400, 404, 413, 422) stays the client's: class `http_400`.
- 429 stays 429, with its Retry-After.
- An outage (refused, silent, 408, 409, 5xx, 529) is `http_503`; no first token in time is `http_504`.
- An answer that makes no sense is `http_502`. So is 401 or 403: the client's own key is right, the server's
  configuration for its upstream is not.
- After the first output an answer that breaks off is `failed`, with the partial output kept.
- What can be understood without guessing is `completed` or `incomplete`.

`http_*` is what a client sees as long as no header was sent; a stream whose headers are out ends in `response.failed`
with an error of the same class. `also` are outcomes that are as right: whether a server is lenient there is its choice.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from tests.support.answers import (
    SSE,
    Answer,
    Ending,
    error_answer,
    http_head,
    json_answer,
    plain,
    raw,
    refused,
    stream,
)
from tests.support.chat_chunks import (
    DONE,
    USAGE,
    ToolCall,
    chat_chunks,
    chat_json,
    chat_stream,
    chunk,
    delta_chunk,
    sse,
    text_chunk,
    tool_call_delta,
)
from tests.support.response_events import (
    message,
    opaque,
    response_events,
    responses_json,
    responses_stream,
    sse_of,
)

Outcome = Literal[
    "http_400", "http_429", "http_502", "http_503", "http_504", "completed", "incomplete", "failed"
]  # fmt: skip
Strikes = Literal["before", "after"]

# The HTTP statuses that belong to a class.
STATUSES: Mapping[Outcome, frozenset[int]] = {
    "http_400": frozenset({400, 404, 413, 422}),
    "http_429": frozenset({429}),
    "http_502": frozenset({502}),
    "http_503": frozenset({503}),
    "http_504": frozenset({504}),
}

TEXT = "The quick brown fox jumps over the lazy dog, naïve and 狐."
MIDDLE = b" brown"  # well after the first output, well before the end
GARBAGE = bytes(range(128, 256)) + b"\x00\x01\x02 not http at all\r\n\r\n"
HTML = b"<!doctype html><html><head><title>Sign in</title></head><body><h1>Welcome</h1></body></html>\n"
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong: how to get its answer, how it must end, and when it strikes.

    `strikes` says whether the fault is met before or after the first output. `text` is the whole output text when the
    outcome is completed, and what the partial text is the beginning of when it is failed; None where it is not text.
    """

    name: str
    answer: Callable[[], Answer]
    outcome: Outcome
    strikes: Strikes
    also: frozenset[Outcome] = frozenset()
    text: str | None = TEXT

    def __call__(self) -> Answer:
        return self.answer()

    @property
    def outcomes(self) -> frozenset[Outcome]:
        """All outcomes that are right."""
        return self.also | {self.outcome}


def _fault(
    name: str,
    outcome: Outcome,
    strikes: Strikes,
    answer: Callable[[], Answer],
    *,
    also: Iterable[Outcome] = (),
    text: str | None = TEXT,
) -> Fault:
    return Fault(name, answer, outcome, strikes, frozenset(also), text)


# The connection: the same for every kind of upstream. `whole` gives a good stream with TEXT.


def _connection_faults(whole: Callable[..., list[bytes]], first_output: bytes) -> list[Fault]:
    """Faults of bytes and connections; `first_output` marks the end of what comes before the first output."""

    def good() -> Answer:
        return stream(whole())

    def before() -> int:
        return good().wire.index(first_output)

    def middle() -> int:
        return good().after(MIDDLE)

    def between() -> int:
        return good().wire.index(b"\n\n", middle()) + len(b"\n\n\r\n")

    gone: list[Outcome] = ["http_502", "http_504"]
    return [
        _fault("refuses", "http_503", "before", refused, also=["http_502"]),
        _fault("accepts_and_is_silent", "http_503", "before", lambda: raw(b"", Ending.SILENCE), also=["http_504"]),
        _fault("closes_without_answer", "http_503", "before", lambda: raw(b""), also=gone),
        _fault("resets_without_answer", "http_503", "before", lambda: raw(b"", Ending.RESET), also=gone),
        _fault("stalls_in_head", "http_503", "before", lambda: good().stall_after(20), also=["http_504"]),
        _fault("stalls_after_head", "http_504", "before", lambda: good().stall_after(len(good().head))),
        _fault("stalls_before_first_output", "http_504", "before", lambda: good().stall_after(before())),
        _fault("stalls_after_output", "failed", "after", lambda: good().stall_after(between())),
        _fault("stalls_inside_line", "failed", "after", lambda: good().stall_after(middle())),
        _fault("cut_in_head", "http_502", "before", lambda: good().cut_after(20), also=["http_503"]),
        _fault("cut_after_head", "http_502", "before", lambda: good().cut_after(len(good().head)), also=["http_503"]),
        _fault("cut_before_first_output", "http_502", "before", lambda: good().cut_after(before()), also=["http_503"]),
        _fault("cut_between_events", "failed", "after", lambda: good().cut_after(between())),
        _fault("cut_inside_line", "failed", "after", lambda: good().cut_after(middle())),
        _fault(
            "cut_inside_character", "failed", "after", lambda: good().cut_after(good().after("na\u00ef".encode()) - 1)
        ),
        _fault("cut_without_framing", "failed", "after", lambda: _unframed(whole(), MIDDLE)),
        _fault("reset_in_head", "http_502", "before", lambda: good().reset_after(20), also=["http_503"]),
        _fault(
            "reset_before_first_output", "http_502", "before", lambda: good().reset_after(before()), also=["http_503"]
        ),
        _fault("reset_between_events", "failed", "after", lambda: good().reset_after(between())),
        _fault("reset_inside_line", "failed", "after", lambda: good().reset_after(middle())),
        _fault("truncated_chunk", "failed", "after", lambda: _bad_chunk(good(), between(), b"fff\r\ndata: {")),
        _fault("bad_chunk_size", "failed", "after", lambda: _bad_chunk(good(), between(), b"zz\r\n\r\n")),
        _fault("content_length_too_small", "failed", "after", lambda: _content_length(whole(), 0.5)),
        _fault("content_length_too_large", "completed", "after", lambda: _content_length(whole(), 2), also=["failed"]),
        _fault("garbage_instead_of_http", "http_502", "before", lambda: raw(GARBAGE), also=["http_503"]),
        _fault("ssh_instead_of_http", "http_502", "before", lambda: raw(b"SSH-2.0-OpenSSH_9.9\r\n"), also=["http_503"]),
        _fault("huge_head", "http_502", "before", _huge_head, also=["http_503"]),
        _fault("continue_then_silence", "http_503", "before", _continue_then_silence, also=["http_504"]),
        _fault("early_hints_then_stream", "completed", "before", lambda: _early_hints(good())),
        _fault("stream_without_framing", "completed", "after", lambda: stream(whole(), framing="close")),
        _fault("html_page", "http_502", "before", lambda: plain(200, HTML, content_type="text/html")),
        _fault("html_as_event_stream", "http_502", "before", lambda: stream([HTML])),
        _fault("empty_body", "http_502", "before", lambda: plain(200, b"", content_type=SSE)),
        _fault("no_content", "http_502", "before", lambda: raw(http_head(204, {}), Ending.KEEP)),
        _fault("redirect", "http_502", "before", _redirect),
        _fault("gzip_bomb", "http_502", "before", lambda: _compressed(_bomb()), also=["failed"]),
        _fault(
            "gzip_though_not_asked",
            "completed",
            "before",
            lambda: _compressed(gzip.compress(b"".join(whole()))),
            also=["http_502"],
        ),
        _fault("not_gzip", "http_502", "before", lambda: _compressed(b"".join(whole())), also=["completed"]),
        _fault(
            "wrong_content_type",
            "completed",
            "before",
            lambda: stream(whole(), content_type="text/plain"),
            also=["http_502"],
        ),
        *_line_faults(whole),
    ]


def _line_faults(whole: Callable[..., list[bytes]]) -> list[Fault]:
    """What the lines of an event stream may look like; all of it is legal or can be repaired."""

    def joined() -> bytes:
        return b"".join(whole())

    def changed(change: Callable[[bytes], bytes]) -> Callable[[], Answer]:
        return lambda: stream([change(each) for each in whole()])

    return [
        _fault("byte_order_mark", "completed", "before", lambda: stream([b"\xef\xbb\xbf", *whole()])),
        _fault("carriage_return_lines", "completed", "before", changed(lambda each: each.replace(b"\n", b"\r"))),
        _fault("crlf_lines", "completed", "before", changed(lambda each: each.replace(b"\n", b"\r\n"))),
        _fault("mixed_line_ends", "completed", "before", lambda: stream(_mixed_line_ends(whole()))),
        _fault("crlf_split", "completed", "before", lambda: stream(_split_at(joined().replace(b"\n", b"\r\n"), b"\r"))),
        _fault("one_byte_a_chunk", "completed", "before", lambda: stream([b"%c" % byte for byte in joined()])),
        _fault("all_in_one_chunk", "completed", "before", lambda: stream([joined()])),
        _fault("character_split", "completed", "after", lambda: stream(_split_at(joined(), b"\xe7\x8b"))),
        _fault(
            "invalid_utf8",
            "completed",
            "after",
            changed(lambda each: each.replace("ï".encode(), b"\xff")),
            text=TEXT.replace("ï", "\ufffd"),
        ),
        _fault("comments", "completed", "before", lambda: stream(_between(b": keep-alive\n\n", whole()))),
        _fault("unknown_fields", "completed", "before", changed(lambda each: b"id: 7\nretry: 10\nfoo: bar\n" + each)),
        _fault("no_space_after_colon", "completed", "before", changed(lambda each: each.replace(b"data: ", b"data:"))),
        _fault("empty_lines", "completed", "before", lambda: stream(_between(b"\n\n\n", whole()))),
        _fault("empty_data", "completed", "before", lambda: stream(_between(b"data:\n\n", whole())), also=["failed"]),
        _fault("garbage_lines", "completed", "after", lambda: stream(_between(b"%%% what?\n\n", whole()))),
        _fault("no_last_blank_line", "completed", "after", lambda: stream([joined().rstrip(b"\n")])),
    ]


def _bad_chunk(answer: Answer, at: int, instead: bytes) -> Answer:
    return raw(answer.wire[:at] + instead)


def _content_length(chunks: Sequence[bytes], factor: float) -> Answer:
    body = b"".join(chunks)
    told = str(int(len(body) * factor))
    return raw(http_head(200, {"Content-Type": SSE, "Content-Length": told}) + body)


def _unframed(chunks: Sequence[bytes], marker: bytes) -> Answer:
    """End after a whole event, where only the missing end of the answer tells that more should have come."""
    answer = stream(chunks, framing="close")
    return answer.cut_after(answer.wire.index(b"\n\n", answer.after(marker)) + 2)


def _huge_head() -> Answer:
    return plain(200, b"{}", headers={f"X-Padding-{number}": "x" * 4096 for number in range(100)})


def _continue_then_silence() -> Answer:
    return raw(b"HTTP/1.1 100 Continue\r\n\r\n", Ending.SILENCE)


def _early_hints(answer: Answer) -> Answer:
    return Answer(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + answer.head, answer.steps, answer.ending)


def _redirect() -> Answer:
    return plain(302, b"", headers={"Location": "http://127.0.0.1:9/elsewhere"})


def _compressed(body: bytes) -> Answer:
    return stream([body[at : at + 65536] for at in range(0, len(body), 65536)], headers={"Content-Encoding": "gzip"})


@cache
def _bomb() -> bytes:
    """Compress 100 MB of an event that never ends to 100 kB."""
    return gzip.compress(b"data: " + bytes(100 * MEGABYTE))


def _mixed_line_ends(chunks: Sequence[bytes]) -> list[bytes]:
    ends = (b"\n", b"\r\n", b"\r")
    return [each.replace(b"\n", ends[number % 3]) for number, each in enumerate(chunks)]


def _split_at(body: bytes, marker: bytes) -> list[bytes]:
    """Cut after each marker."""
    *pieces, last = body.split(marker)
    return [*(piece + marker for piece in pieces), *([last] if last else [])]


def _between(extra: bytes, chunks: Sequence[bytes]) -> list[bytes]:
    return [part for each in chunks for part in (extra, each)]


# Statuses: the same for every kind of upstream


def _status_faults() -> list[Fault]:
    invalid = {"type": "invalid_request_error"}
    limited = {"type": "rate_limit_error", "code": "rate_limit_exceeded"}

    def rejected(status: int, **error: Any) -> Callable[[], Answer]:
        return lambda: error_answer(status, **error)

    def throttled(**headers: str) -> Callable[[], Answer]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return lambda: error_answer(429, "Slow down.", headers=named, **limited)

    too_long = {**invalid, "code": "context_length_exceeded", "param": "messages"}
    table: list[tuple[str, Outcome, Callable[[], Answer]]] = [
        ("status_400", "http_400", rejected(400, **invalid)),
        ("status_400_context_length", "http_400", rejected(400, **too_long)),
        ("status_400_detail", "http_400", lambda: json_answer({"detail": "Unknown field."}, 400)),
        ("status_400_text", "http_400", lambda: plain(400, b"bad request")),
        ("status_400_empty", "http_400", lambda: plain(400)),
        ("status_401", "http_502", rejected(401, **invalid, code="invalid_api_key")),
        ("status_403", "http_502", rejected(403, **invalid)),
        ("status_403_html", "http_502", lambda: plain(403, HTML, content_type="text/html")),
        ("status_404", "http_400", rejected(404, **invalid, code="model_not_found")),
        ("status_404_text", "http_400", lambda: plain(404, b"404 page not found")),
        ("status_408", "http_503", rejected(408)),
        ("status_409", "http_503", rejected(409)),
        ("status_413", "http_400", rejected(413, **invalid)),
        ("status_422_detail_list", "http_400", lambda: json_answer({"detail": [{"loc": ["body"], "msg": "x"}]}, 422)),
        ("status_429", "http_429", throttled()),
        ("status_429_retry_after", "http_429", throttled(retry_after="7")),
        ("status_429_retry_after_ms", "http_429", throttled(retry_after_ms="7100")),
        ("status_429_retry_after_date", "http_429", throttled(retry_after="Wed, 21 Oct 2099 07:28:00 GMT")),
        ("status_429_quota", "http_429", rejected(429, type="insufficient_quota", code="insufficient_quota")),
        ("status_429_empty", "http_429", lambda: plain(429)),
        ("status_500", "http_503", rejected(500)),
        ("status_500_detail", "http_503", lambda: json_answer({"detail": "Internal Server Error"}, 500)),
        ("status_500_text", "http_503", lambda: plain(500, b"Internal Server Error")),
        ("status_500_empty", "http_503", lambda: plain(500)),
        (
            "status_500_broken_json",
            "http_503",
            lambda: plain(500, b'{"error": {"mess', content_type="application/json"),
        ),
        ("status_500_huge_body", "http_503", lambda: plain(500, b"x" * 10 * MEGABYTE)),
        ("status_500_stalled_body", "http_503", lambda: _stalled_body(500)),
        ("status_500_cut_body", "http_503", lambda: _cut_body(500)),
        ("status_502_html", "http_503", lambda: plain(502, HTML, content_type="text/html")),
        ("status_503", "http_503", rejected(503)),
        ("status_503_retry_after", "http_503", lambda: error_answer(503, headers={"retry-after": "3"})),
        ("status_529", "http_503", rejected(529, type="overloaded_error")),
        ("error_with_status_200", "http_502", lambda: error_answer(200)),
    ]
    also: Mapping[str, Iterable[Outcome]] = {
        "status_409": ["http_400", "http_502"],
        "error_with_status_200": ["http_503"],
    }
    return [_fault(name, outcome, "before", answer, also=also.get(name, ())) for name, outcome, answer in table]


def _stalled_body(status: int) -> Answer:
    answer = error_answer(status)
    return answer.stall_after(len(answer.head) + 10)


def _cut_body(status: int) -> Answer:
    answer = error_answer(status)
    return answer.cut_after(len(answer.head) + 10)


# Chat Completions: what stands in the chunks


def _chat(*middle: Any, text: str = TEXT, **options: Any) -> list[Any]:
    """Give the chunks of a good stream with something put in after its first words."""
    chunks: list[Any] = chat_chunks(text, **options)
    return [*chunks[:3], *middle, *chunks[3:]]


def _chat_first(*first: Any) -> Callable[[], Answer]:
    """Put something before the first chunk of a good stream."""
    return lambda: stream([*map(_data, first), *chat_stream(TEXT)])


def _chat_middle(*middle: Any, **options: Any) -> Callable[[], Answer]:
    """Put something into the middle of a good stream."""
    return lambda: stream([*map(_data, _chat(*middle, **options)), DONE])


def _data(value: Any) -> bytes:
    """Encode a chunk; bytes are what stands after `data: `, JSON or not."""
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()) + b"\n\n"


def _chat_calls(*deltas: Any, finish_reason: str = "tool_calls") -> Callable[[], Answer]:
    """Give a stream of deltas of calls."""
    chunks = [delta_chunk({"role": "assistant", "content": None}), *(delta_chunk({"tool_calls": [d]}) for d in deltas)]
    return lambda: stream(sse([*chunks, delta_chunk({}, finish_reason=finish_reason), chunk(usage=USAGE)]))


@cache
def _deep_json() -> bytes:
    """Nest a million arrays."""
    return b'{"choices": ' + b"[" * MEGABYTE + b"]" * MEGABYTE + b"}"


def _without_end(*, done: bool, drop: int) -> Callable[[], Answer]:
    """Leave out the last chunks: 1 is the usage, 2 the finish reason too."""
    return lambda: stream(sse(chat_chunks(TEXT)[:-drop], done=done))


def _chunk_faults() -> list[Fault]:
    """What the chunks of a text may be."""
    error = {"error": {"message": "The model crashed.", "type": "server_error", "code": 500}}
    limited = {"error": {"message": "Slow down.", "type": "rate_limit_error", "code": 429}}
    nan = b'{"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": null}], "score": NaN}'
    broken = b'{"choices": [{"index": 0, "delta": {'
    repeated = text_chunk(" brown")
    long_text = "x" * 10 * MEGABYTE
    second = delta_chunk({"content": "another answer"}, index=1)
    return [
        _fault("error_first", "http_502", "before", lambda: stream([_data(error), DONE]), also=["http_503"]),
        _fault(
            "error_first_429", "http_429", "before", lambda: stream([_data(limited)]), also=["http_502", "http_503"]
        ),
        _fault("error_after_output", "failed", "after", _chat_middle(error)),
        _fault("error_as_text_after_output", "failed", "after", _chat_middle({"error": "The model crashed."})),
        _fault("error_event_after_output", "failed", "after", lambda: stream(_error_event(error))),
        _fault("error_without_choices_at_end", "failed", "after", lambda: stream(sse([*_chat()[:-2], error]))),
        _fault("nan_first", "http_502", "before", _chat_first(nan), also=["completed"]),
        _fault("nan_after_output", "failed", "after", _chat_middle(nan), also=["completed"]),
        _fault("broken_json_first", "http_502", "before", _chat_first(broken)),
        _fault("broken_json_after_output", "failed", "after", _chat_middle(broken)),
        _fault("deep_json_first", "http_502", "before", lambda: stream([_data(_deep_json()), DONE])),
        _fault("deep_json_after_output", "failed", "after", lambda: _chat_middle(_deep_json())()),
        _fault("array_instead_of_object", "failed", "after", _chat_middle([1, 2]), also=["completed"]),
        _fault("null_instead_of_object", "failed", "after", _chat_middle(None), also=["completed"]),
        _fault("long_line", "completed", "after", lambda: _long_line(long_text), also=["failed"], text=long_text),
        _fault(
            "long_line_without_end", "failed", "after", lambda: _long_line_cut(long_text), text="The quick" + long_text
        ),
        _fault(
            "doubled_chunk", "completed", "after", _chat_middle(repeated), text=TEXT.replace("brown", "brown brown")
        ),
        _fault("data_on_two_lines", "completed", "before", lambda: stream(_two_lines())),
        _fault("two_done", "completed", "after", lambda: stream([*chat_stream(TEXT), DONE])),
        _fault("no_done", "completed", "after", lambda: stream(chat_stream(TEXT, done=False))),
        _fault(
            "data_after_done", "completed", "after", lambda: stream([*chat_stream(TEXT), _data(text_chunk(" more"))])
        ),
        _fault("only_done", "http_502", "before", lambda: stream([DONE])),
        _fault("cut_after_finish_reason", "completed", "after", lambda: _cut_after_finish(), also=["failed"]),
        _fault("usage_missing", "completed", "after", lambda: stream(chat_stream(TEXT, usage=None))),
        _fault(
            "usage_null_in_chunks", "completed", "after", lambda: stream(sse([{**c, "usage": None} for c in _chat()]))
        ),
        _fault("usage_without_details", "completed", "after", _bad_usage(prompt_tokens=17, completion_tokens=23)),
        _fault("usage_of_wrong_type", "completed", "after", _bad_usage(prompt_tokens="many"), also=["failed"]),
        _fault(
            "json_instead_of_stream", "completed", "before", lambda: json_answer(chat_json(TEXT)), also=["http_502"]
        ),
        _fault("choices_empty", "completed", "before", _chat_first(chunk(prompt_filter_results=[]))),
        _fault("choices_null", "completed", "before", _chat_first({**chunk(), "choices": None}), also=["http_502"]),
        _fault("choices_missing", "completed", "before", _chat_first({"id": "x"}), also=["http_502"]),
        _fault("delta_null", "completed", "after", _chat_middle(delta_chunk(None)), also=["failed"]),
        _fault("delta_missing", "completed", "after", _chat_middle(chunk({"index": 0})), also=["failed"]),
        _fault("content_null", "completed", "after", _chat_middle(delta_chunk({"content": None}))),
        _fault("content_number", "failed", "after", _chat_middle(delta_chunk({"content": 7})), also=["completed"]),
        _fault("second_choice", "completed", "after", _chat_middle(second)),
        _fault(
            "finish_reason_unknown", "completed", "after", lambda: stream(chat_stream(TEXT, finish_reason="banana"))
        ),
        _fault("finish_reason_missing", "completed", "after", _without_end(done=True, drop=2), also=["failed"]),
        _fault("no_finish_reason_no_done", "failed", "after", _without_end(done=False, drop=2)),
        _fault(
            "finish_reason_length", "incomplete", "after", lambda: stream(chat_stream(TEXT, finish_reason="length"))
        ),
        _fault(
            "content_filter", "incomplete", "after", lambda: stream(chat_stream(TEXT, finish_reason="content_filter"))
        ),
        _fault("text_after_finish_reason", "completed", "after", lambda: stream(_text_after_finish()), also=["failed"]),
        _fault("another_id", "completed", "after", _chat_middle({**delta_chunk({"content": ""}), "id": "chatcmpl-2"})),
    ]


def _error_event(error: Any) -> list[bytes]:
    return [*map(_data, _chat()[:5]), b"event: error\n" + _data(error)]


def _long_line(text: str) -> Answer:
    return stream(chat_stream([text]))


def _long_line_cut(text: str) -> Answer:
    answer = stream(sse(_chat(text_chunk(text))))
    return answer.cut_after(answer.after(b"x" * 1000) + 9 * MEGABYTE)


def _two_lines() -> list[bytes]:
    """Break the JSON of each chunk over two data lines: they are joined by a line break."""
    return [each.replace(b'"choices"', b'\ndata: "choices"') for each in chat_stream(TEXT)]


def _cut_after_finish() -> Answer:
    answer = stream(chat_stream(TEXT))
    return answer.cut_after(answer.after(b'"finish_reason": "stop"}]}\n\n\r\n'))


def _bad_usage(**usage: Any) -> Callable[[], Answer]:
    return lambda: stream(chat_stream(TEXT, usage=usage))


def _text_after_finish() -> list[bytes]:
    *chunks, finish, usage = chat_chunks(TEXT)
    return sse([*chunks[:-1], finish, chunks[-1], usage])


def _call_faults() -> list[Fault]:
    """What the deltas of calls may be."""
    named = tool_call_delta(0, "look_up", "", call_id="call_1")
    arguments = tool_call_delta(0, arguments='{"q": 1}')
    second = tool_call_delta(1, "look_up", '{"q": 2}', call_id="call_2")
    both = [ToolCall("look_up", '{"q": 1}'), ToolCall("look_up", '{"q": 2}')]
    nameless = [tool_call_delta(0, arguments="{}", call_id="call_1")]
    as_object = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": {"q": 1}}}
    table: list[tuple[str, Outcome, Strikes, Callable[[], Answer], list[Outcome]]] = [
        ("calls_in_reversed_order", "completed", "before", _chat_calls(second, named, arguments), []),
        ("calls_interleaved", "completed", "after", _chat_calls(named, second, arguments), []),
        ("call_index_with_a_gap", "completed", "before", _chat_calls({**second, "index": 4}), []),
        ("call_without_index", "completed", "before", _chat_calls({**second, "index": None}), ["http_502", "failed"]),
        ("call_without_id", "completed", "before", _chat_calls(tool_call_delta(0, "look_up", "{}")), []),
        ("call_without_name", "http_502", "before", _chat_calls(*nameless), ["failed"]),
        ("call_name_null", "http_502", "before", _chat_calls({"index": 0, "function": {"name": None}}), ["failed"]),
        ("call_arguments_before_name", "completed", "before", _chat_calls(arguments, named), []),
        (
            "call_arguments_null",
            "completed",
            "after",
            _chat_calls({**named, "function": {"name": "f", "arguments": None}}),
            [],
        ),
        ("call_arguments_object", "completed", "before", _chat_calls(as_object), ["http_502", "failed"]),
        ("call_arguments_broken", "completed", "after", _chat_calls(named, tool_call_delta(0, arguments='{"q": ')), []),
        ("call_ids_twice", "completed", "after", lambda: stream(chat_stream(tool_calls=both)), []),
        ("call_name_twice", "completed", "after", _chat_calls(named, named, arguments), ["failed"]),
        (
            "calls_with_finish_reason_stop",
            "completed",
            "after",
            _chat_calls(named, arguments, finish_reason="stop"),
            [],
        ),
        ("call_cut_by_length", "incomplete", "after", _chat_calls(named, arguments, finish_reason="length"), []),
        ("calls_null", "completed", "after", _chat_middle(delta_chunk({"tool_calls": None})), []),
    ]
    texts = {"calls_null": TEXT}
    return [
        _fault(name, outcome, strikes, answer, also=also, text=texts.get(name))
        for name, outcome, strikes, answer, also in table
    ]


# The Responses API: what its events may be


def _responses(*items: Any, **options: Any) -> list[Any]:
    return response_events(message(TEXT), *items, **options)


def _changed(change: Callable[[list[Any]], list[Any]], *items: Any) -> Callable[[], Answer]:
    """Change the events of a good stream."""
    return lambda: stream(sse_of(change(_responses(*items))))


def _event_faults() -> list[Fault]:
    nested = {
        "type": "error",
        "sequence_number": 6,
        "error": {"type": "server_error", "code": "x", "message": "Crashed."},
    }
    flat = {"type": "error", "sequence_number": 6, "code": "server_error", "message": "Crashed.", "param": None}
    keepalive = {"type": "keepalive", "sequence_number": 0}
    unknown = {"type": "response.sparkle.added", "sequence_number": 7, "glitter": True}
    cut_text = {"reason": "max_output_tokens"}
    return [
        _fault("no_terminal_event", "failed", "after", _changed(lambda events: events[:-1])),
        _fault("failed", "failed", "after", lambda: stream(responses_stream(message(TEXT), end="failed"))),
        _fault("failed_first", "http_502", "before", lambda: stream(responses_stream(end="failed")), also=["http_503"]),
        _fault("incomplete", "incomplete", "after", _changed(lambda events: _ended_incomplete(events, cut_text))),
        _fault("flat_error", "failed", "after", _changed(lambda events: [*events[:6], flat])),
        _fault("nested_error", "failed", "after", _changed(lambda events: [*events[:6], nested])),
        _fault("keepalive_first", "completed", "before", _changed(lambda events: [keepalive, *events])),
        _fault("unknown_event", "completed", "after", _changed(lambda events: [*events[:7], unknown, *events[7:]])),
        _fault("unknown_item", "completed", "after", _changed(list, opaque("sparkle_call", "twinkling", level=3))),
        _fault("no_numbers", "completed", "before", _changed(lambda events: [_without(e, "sequence_number") for e in events])),
        _fault("no_logprobs", "completed", "after", _changed(lambda events: [_without(e, "logprobs") for e in events])),
        _fault("no_in_progress", "completed", "before", _changed(lambda events: [events[0], *events[2:]])),
        _fault("no_content_part", "completed", "after", _changed(lambda e: _drop(e, "content_part")), also=["failed"]),
        _fault("no_item_added", "completed", "after", _changed(lambda e: _drop(e, "item.added")), also=["failed", "http_502"]),
        _fault("no_item_done", "completed", "after", _changed(lambda e: _drop(e, "item.done")), also=["failed"]),
        _fault("no_deltas", "completed", "after", _changed(lambda events: _drop(events, ".delta"))),
        _fault("other_id_in_done", "completed", "after", _changed(_rename_done), also=["failed"]),
        _fault("events_after_the_end", "completed", "after", _changed(lambda events: [*events, events[5]])),
        _fault("done_marker_at_the_end", "completed", "after", lambda: stream([*responses_stream(message(TEXT)), DONE])),
        _fault("usage_null_at_the_end", "completed", "after", _changed(_without_usage)),
        _fault("broken_json", "failed", "after", lambda: stream([*responses_stream(message(TEXT))[:6], b"data: {\n\n"])),
        _fault("deep_json", "failed", "after", lambda: stream([*responses_stream(message(TEXT))[:6], _data(_deep_json())])),
        _fault("json_instead_of_stream", "completed", "before", lambda: json_answer(responses_json(message(TEXT))), also=["http_502"]),
        _fault("doubled_event", "completed", "after", _changed(lambda e: [*e[:6], e[5], *e[6:]]), also=["failed"], text=None),
    ]  # fmt: skip


def _without(event: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != key}


def _drop(events: Sequence[Any], part: str) -> list[Any]:
    return [event for event in events if part not in event["type"]]


def _rename_done(events: Sequence[Any]) -> list[Any]:
    done = "response.output_item.done"
    return [{**e, "item": {**e["item"], "id": "item_other"}} if e["type"] == done else e for e in events]


def _without_usage(events: Sequence[Any]) -> list[Any]:
    last = events[-1]
    return [*events[:-1], {**last, "response": {**last["response"], "usage": None}}]


def _ended_incomplete(events: Sequence[Any], details: Mapping[str, Any]) -> list[Any]:
    *rest, done, last = events
    item = {**done["item"], "status": "incomplete"}
    response = {**last["response"], "status": "incomplete", "incomplete_details": details, "output": [item]}
    response["completed_at"] = None
    return [*rest, {**done, "item": item}, {**last, "type": "response.incomplete", "response": response}]


def _table(*groups: Sequence[Fault]) -> dict[str, Fault]:
    faults = [fault for group in groups for fault in group]
    table = {fault.name: fault for fault in faults}
    assert len(table) == len(faults), "two faults have the same name"
    return table


FAULTS: Mapping[str, Fault] = _table(
    _connection_faults(lambda: chat_stream(TEXT), b'"The"'), _status_faults(), _chunk_faults(), _call_faults()
)
RESPONSES_FAULTS: Mapping[str, Fault] = _table(
    _connection_faults(lambda: responses_stream(message(TEXT)), b'"The"'), _status_faults(), _event_faults()
)
