"""Faults of connections and of HTTP, the same for every kind of upstream."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from tests.support.answers import SSE, Answer, Ending, Send, http_head, plain, raw, refused, stream
from tests.support.faults.fault import MEGABYTE, Fault, fault

GARBAGE = bytes(range(128, 256)) + b"\x00\x01\x02 not http at all\r\n\r\n"
HTML = b"<!doctype html><html><head><title>Sign in</title></head><body><h1>Welcome</h1></body></html>\n"


@dataclass(frozen=True)
class GoodStream:
    """A good stream of TEXT, and the places in it where something can go wrong, in bytes from its start."""

    chunks: Sequence[bytes]

    @property
    def answer(self) -> Answer:
        return stream(self.chunks)

    @property
    def head(self) -> int:
        """Where the body starts."""
        return len(self.answer.head)

    @property
    def before(self) -> int:
        """Just before the first word."""
        return self.answer.wire.index(b'"The"')

    @property
    def inside_line(self) -> int:
        """Inside the event of the third word."""
        return self.answer.after(b" brown")

    @property
    def inside_character(self) -> int:
        """Inside a character of two bytes."""
        return self.answer.after("naï".encode()) - 1

    @property
    def between(self) -> int:
        """After the event of the third word and its HTTP chunk."""
        return self.answer.wire.index(b"\n\n\r\n", self.inside_line) + 4


def transport_faults(good: GoodStream) -> list[Fault]:
    """Make the faults of connections and of HTTP with a good stream."""
    return [*_silences(good), *_cuts(good), *_framings(good), *_no_http(good), *_bodies(), *_encodings(good)]


def _silences(good: GoodStream) -> list[Fault]:
    answer = good.answer
    return [
        fault("refuses", "http_503", "before", refused, also=["http_502"]),
        fault("accepts_and_is_silent", "http_503", "before", lambda: raw(b"", Ending.SILENCE), also=["http_504"]),
        fault("stalls_in_head", "http_503", "before", lambda: answer.stall_after(20), also=["http_504"]),
        fault("continue_then_silence", "http_503", "before", _continue_then_silence, also=["http_504"]),
        fault("stalls_after_head", "http_504", "before", lambda: answer.stall_after(good.head)),
        fault("stalls_before_first_output", "http_504", "before", lambda: answer.stall_after(good.before)),
        fault("stalls_between_events", "failed", "after", lambda: answer.stall_after(good.between)),
        fault("stalls_inside_line", "failed", "after", lambda: answer.stall_after(good.inside_line)),
    ]


def _continue_then_silence() -> Answer:
    return raw(b"HTTP/1.1 100 Continue\r\n\r\n", Ending.SILENCE)


def _cuts(good: GoodStream) -> list[Fault]:
    answer = good.answer
    return [
        fault("closes_without_answer", "http_503", "before", lambda: raw(b""), also=["http_502"]),
        fault("resets_without_answer", "http_503", "before", lambda: raw(b"", Ending.RESET), also=["http_502"]),
        fault("cut_in_head", "http_502", "before", lambda: answer.cut_after(20), also=["http_503"]),
        fault("cut_after_head", "http_502", "before", lambda: answer.cut_after(good.head), also=["http_503"]),
        fault(
            "cut_before_first_output", "http_502", "before", lambda: answer.cut_after(good.before), also=["http_503"]
        ),
        fault("cut_between_events", "failed", "after", lambda: answer.cut_after(good.between)),
        fault("cut_inside_line", "failed", "after", lambda: answer.cut_after(good.inside_line)),
        fault("cut_inside_character", "failed", "after", lambda: answer.cut_after(good.inside_character)),
        fault("cut_without_framing", "failed", "after", lambda: _unframed(good.chunks)),
        fault("reset_in_head", "http_502", "before", lambda: answer.reset_after(20), also=["http_503"]),
        fault("reset_before_output", "http_502", "before", lambda: answer.reset_after(good.before), also=["http_503"]),
        fault("reset_between_events", "failed", "after", lambda: answer.reset_after(good.between)),
        fault("reset_inside_line", "failed", "after", lambda: answer.reset_after(good.inside_line)),
    ]


def _unframed(chunks: Sequence[bytes]) -> Answer:
    """End after a whole event, where only the missing end of the answer tells that more should have come."""
    answer = stream(chunks, framing="close")
    return answer.cut_after(answer.wire.index(b"\n\n", answer.after(b" brown")) + 2)


def _framings(good: GoodStream) -> list[Fault]:
    def broken(rest: bytes) -> Answer:
        begun = good.answer.cut_after(good.between)
        return replace(begun, steps=(*begun.steps, Send(rest)))

    def length(factor: float) -> Answer:
        told = str(int(len(b"".join(good.chunks)) * factor))
        return Answer(http_head(200, {"Content-Type": SSE, "Content-Length": told}), tuple(map(Send, good.chunks)))

    return [
        fault("truncated_chunk", "failed", "after", lambda: broken(b"fff\r\ndata: {")),
        fault("bad_chunk_size", "failed", "after", lambda: broken(b"zz\r\n\r\n")),
        fault("content_length_too_small", "failed", "after", lambda: length(0.5)),
        fault("content_length_too_large", "completed", "after", lambda: length(2), also=["failed"]),
        fault("stream_without_framing", "completed", "after", lambda: stream(good.chunks, framing="close")),
    ]


def _no_http(good: GoodStream) -> list[Fault]:
    ssh = b"SSH-2.0-OpenSSH_9.9\r\n"
    return [
        fault("garbage_instead_of_http", "http_502", "before", lambda: raw(GARBAGE), also=["http_503"]),
        fault("ssh_instead_of_http", "http_502", "before", lambda: raw(ssh), also=["http_503"]),
        fault("huge_head", "http_502", "before", _huge_head, also=["http_503"]),
        fault("early_hints_then_stream", "completed", "before", lambda: _early_hints(good.answer)),
    ]


def _huge_head() -> Answer:
    return plain(200, b"{}", headers={f"X-Padding-{number}": "x" * 4096 for number in range(100)})


def _early_hints(answer: Answer) -> Answer:
    return Answer(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + answer.head, answer.steps, answer.ending)


def _bodies() -> list[Fault]:
    elsewhere = {"Location": "http://127.0.0.1:9/elsewhere"}
    return [
        fault("html_page", "http_502", "before", lambda: plain(200, HTML, content_type="text/html")),
        fault("html_as_event_stream", "http_502", "before", lambda: stream([HTML])),
        fault("empty_body", "http_502", "before", lambda: plain(200, b"", content_type=SSE)),
        fault("no_content", "http_502", "before", lambda: raw(http_head(204, {}), Ending.KEEP)),
        fault("redirect", "http_502", "before", lambda: plain(302, b"", headers=elsewhere)),
    ]


def _encodings(good: GoodStream) -> list[Fault]:
    body = b"".join(good.chunks)
    tolerant = stream(good.chunks, content_type="text/plain")
    zipped = gzip.compress(body)
    return [
        fault("wrong_content_type", "completed", "before", lambda: tolerant, also=["http_502"]),
        fault("gzip_though_not_asked", "completed", "before", lambda: _compressed(zipped), also=["http_502"]),
        fault("gzip_bomb", "http_502", "before", lambda: _compressed(_bomb()), also=["failed"]),
        fault("not_gzip", "http_502", "before", lambda: _compressed(body), also=["completed"]),
    ]


def _compressed(body: bytes) -> Answer:
    return stream([body[at : at + 65536] for at in range(0, len(body), 65536)], headers={"Content-Encoding": "gzip"})


@cache
def _bomb() -> bytes:
    """Compress 100 MB of an event that never ends to 100 kB."""
    return gzip.compress(b"data: " + bytes(100 * MEGABYTE), compresslevel=6)
