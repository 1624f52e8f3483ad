"""What the lines of an event stream may look like: all of it is legal, or can be repaired."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.support.answers import Answer, stream
from tests.support.faults.fault import TEXT, Fault, fault


def line_faults(good: Sequence[bytes]) -> list[Fault]:
    """Make the faults of lines with the chunks of a good stream, one an event."""
    return [*_line_ends(good), *_chunk_borders(good), *_contents(good)]


def _changed(good: Sequence[bytes], change: Callable[[bytes], bytes]) -> Callable[[], Answer]:
    return lambda: stream([change(each) for each in good])


def _line_ends(good: Sequence[bytes]) -> list[Fault]:
    ends = (b"\n", b"\r\n", b"\r")
    mixed = [each.replace(b"\n", ends[number % 3]) for number, each in enumerate(good)]
    return [
        fault("byte_order_mark", "completed", "before", lambda: stream([b"\xef\xbb\xbf", *good])),
        fault("cr_lines", "completed", "before", _changed(good, lambda each: each.replace(b"\n", b"\r"))),
        fault("crlf_lines", "completed", "before", _changed(good, lambda each: each.replace(b"\n", b"\r\n"))),
        fault("mixed_line_ends", "completed", "before", lambda: stream(mixed)),
        fault("no_last_blank_line", "completed", "after", lambda: stream([b"".join(good).rstrip(b"\n")])),
        fault("empty_lines", "completed", "before", lambda: stream(_between(b"\n\n\n", good))),
    ]


def _chunk_borders(good: Sequence[bytes]) -> list[Fault]:
    body = b"".join(good)
    bytewise = [bytes([byte]) for byte in body]
    crlf = body.replace(b"\n", b"\r\n")
    return [
        fault("one_byte_a_chunk", "completed", "before", lambda: stream(bytewise)),
        fault("all_in_one_chunk", "completed", "before", lambda: stream([body])),
        fault("crlf_split", "completed", "before", lambda: stream(_cut_after(crlf, b"\r"))),
        fault("character_split", "completed", "after", lambda: stream(_cut_after(body, "狐".encode()[:2]))),
    ]


def _contents(good: Sequence[bytes]) -> list[Fault]:
    fields = b"id: 7\nretry: 10\nfoo: bar\n"
    latin = _changed(good, lambda each: each.replace("ï".encode(), b"\xff"))
    repaired = TEXT.replace("ï", "\ufffd")
    return [
        fault("invalid_utf8", "completed", "after", latin, text=repaired),
        fault("comments", "completed", "before", lambda: stream(_between(b": keep-alive\n\n", good))),
        fault("unknown_fields", "completed", "before", _changed(good, lambda each: fields + each)),
        fault("no_space_after_colon", "completed", "before", _changed(good, lambda e: e.replace(b"data: ", b"data:"))),
        fault("empty_data", "completed", "before", lambda: stream(_between(b"data:\n\n", good))),
        fault("garbage_lines", "completed", "after", lambda: stream(_between(b"%%% what?\n\n", good))),
    ]


def _cut_after(body: bytes, marker: bytes) -> list[bytes]:
    *pieces, last = body.split(marker)
    return [*(piece + marker for piece in pieces), *([last] if last else [])]


def _between(extra: bytes, chunks: Sequence[bytes]) -> list[bytes]:
    return [part for each in chunks for part in (extra, each)]
