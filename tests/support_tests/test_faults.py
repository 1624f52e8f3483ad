"""Each fault is what its name says, arrives byte for byte, and its row in the table is true."""

import asyncio
import gzip
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.answers import Ending
from tests.support.faults.fault import TEXT, fault, table
from tests.support.faults.transport import GoodStream
from tests.support.upstream import FAULTS, RESPONSES_FAULTS, STATUSES, Answer, FakeUpstream, Fault, plain, raw

pytestmark = pytest.mark.anyio

POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
ALL = [(api, name) for api, faults in (("chat", FAULTS), ("responses", RESPONSES_FAULTS)) for name in faults]
PLAYED = [(api, name) for api, name in ALL if name != "refuses"]

every_fault = pytest.mark.parametrize(("api", "name"), ALL)


def fault_of(api: str, name: str) -> Fault:
    return (FAULTS if api == "chat" else RESPONSES_FAULTS)[name]


# A reader of the bytes, as lenient as can be: it shows what there is to be understood


def body_of(answer: Answer) -> bytes:
    """Take the body out of an answer, as far as its framing holds."""
    _, _, rest = re.sub(rb"^HTTP/1.1 1.*?\r\n\r\n", b"", answer.wire, flags=re.DOTALL).partition(b"\r\n\r\n")
    if b"Transfer-Encoding: chunked" in answer.wire:
        rest = b"".join(unchunked(rest))
    if length := re.search(rb"Content-Length: (\d+)", answer.wire):
        rest = rest[: int(length[1])]
    return inflated(rest) if b"Content-Encoding: gzip" in answer.wire else rest


def unchunked(body: bytes) -> Iterator[bytes]:
    while found := re.match(rb"([0-9a-f]+)\r\n", body):
        size = int(found[1], 16)
        yield body[found.end() : found.end() + size]
        body = body[found.end() + size + 2 :]


def inflated(body: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(body, 1_000_000)
    except zlib.error:
        return b""


def events_in(body: bytes) -> Iterator[Any]:
    """Decode what is JSON among the events; the end of the body ends the last one."""
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    for block in re.split(r"\n\n", re.sub(r"\r\n|\r", "\n", text)):
        data = "\n".join(line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:"))
        if data == "[DONE]":
            return
        try:
            yield json.loads(data)
        except (ValueError, RecursionError):
            continue


def text_in(api: str, answer: Answer) -> str:
    body = body_of(answer)
    events = [event for event in events_in(body) if isinstance(event, dict)]
    if api == "responses":
        told = [event["text"] for event in events if event.get("type") == "response.output_text.done"]
        deltas = [event["delta"] for event in events if event.get("type") == "response.output_text.delta"]
        return (told or ["".join(deltas)])[0]
    choices = [choice for event in events for choice in event.get("choices") or () if isinstance(choice, dict)]
    contents = [(each.get("delta") or {}).get("content") for each in choices if each["index"] == 0]
    return "".join(content for content in contents if isinstance(content, str))


# The table


def test_there_are_many_faults_for_both_kinds_of_upstream() -> None:
    assert len(FAULTS) >= 65
    assert len(RESPONSES_FAULTS) >= 65


@every_fault
def test_a_fault_before_the_first_output_is_an_http_status_or_no_fault_in_the_end(api: str, name: str) -> None:
    fault = fault_of(api, name)
    assert fault.name == name
    assert fault.outcome not in fault.also
    if fault.strikes == "after":
        assert fault.outcome in ("completed", "incomplete", "failed")
    else:
        assert fault.outcome == "completed" or fault.outcome in STATUSES


def test_two_faults_of_one_name_are_refused() -> None:
    one = fault("same", "completed", "before", plain)
    with pytest.raises(ValueError, match="same name"):
        table([one], [one])


def test_a_fault_knows_all_outcomes_that_are_right() -> None:
    assert fault("x", "failed", "after", plain, also=["completed"]).outcomes == {"failed", "completed"}


@every_fault
def test_the_text_of_a_fault_is_what_there_is_to_read(api: str, name: str) -> None:
    fault = fault_of(api, name)
    if fault.text is None or name in ("json_instead_of_stream", "refuses"):
        return
    text = text_in(api, fault())
    match fault.outcome:
        case "completed" | "incomplete":
            assert text == fault.text
        case "failed":
            assert text
            assert fault.text.startswith(text)
        case _ if not name.endswith("_first"):
            assert text == ""


def test_a_fault_that_cuts_the_text_leaves_some_of_it_out() -> None:
    for name in ("cut_inside_line", "reset_between_events", "stalls_between_events", "content_length_too_small"):
        for api in ("chat", "responses"):
            assert 0 < len(text_in(api, fault_of(api, name)())) < len(TEXT)


@pytest.mark.parametrize("name", [name for name in FAULTS if name.startswith("status_")])
def test_a_status_fault_has_the_status_of_its_name(name: str) -> None:
    status = int(name.split("_")[1])
    assert FAULTS[name]().head.startswith(b"HTTP/1.1 %d " % status)
    expected = {400: 400, 404: 400, 413: 400, 422: 400, 429: 429, 401: 502, 403: 502}.get(status, 503)
    assert FAULTS[name].outcome == f"http_{expected}"


def test_some_429_say_when_to_come_back() -> None:
    assert b"retry-after: 7\r\n" in FAULTS["status_429_retry_after"]().head
    assert b"retry-after-ms: 7100\r\n" in FAULTS["status_429_retry_after_ms"]().head
    assert b"retry-after" not in FAULTS["status_429"]().head


# The faults that are named after something special


def test_the_bomb_is_small_and_becomes_large() -> None:
    body = b"".join(unchunked(FAULTS["gzip_bomb"]().wire.partition(b"\r\n\r\n")[2]))
    assert len(body) < 200_000
    assert len(gzip.decompress(body)) > 100_000_000


def test_the_long_line_has_ten_megabytes_and_no_line_end() -> None:
    longest = max(body_of(FAULTS["long_line"]()).split(b"\n"), key=len)
    assert len(longest) > 10_000_000
    cut = body_of(FAULTS["long_line_without_end"]())
    assert len(cut.split(b"\n")[-1]) > 9_000_000


def test_the_deep_json_is_valid_and_a_million_deep() -> None:
    line = max(body_of(FAULTS["deep_json_first"]()).split(b"\n"), key=len)
    assert line.count(b"[") == line.count(b"]") == 1_000_000
    with pytest.raises(RecursionError):
        json.loads(line.removeprefix(b"data: "))


def test_one_byte_a_chunk_is_that() -> None:
    chunks = list(unchunked(FAULTS["one_byte_a_chunk"]().wire.partition(b"\r\n\r\n")[2]))
    assert {len(chunk) for chunk in chunks[:-1]} == {1}


@pytest.mark.parametrize("name", ["crlf_split", "character_split"])
def test_a_split_ends_a_chunk_in_the_middle(name: str) -> None:
    marker = {"crlf_split": b"\r", "character_split": "狐".encode()[:2]}[name]
    chunks = list(unchunked(FAULTS[name]().wire.partition(b"\r\n\r\n")[2]))
    assert len([chunk for chunk in chunks if chunk.endswith(marker)]) >= 1


def test_a_cut_inside_a_character_leaves_half_of_it() -> None:
    with pytest.raises(UnicodeDecodeError):
        FAULTS["cut_inside_character"]().wire.decode()


def test_a_cut_between_events_leaves_whole_events() -> None:
    good = GoodStream([b'data: "The"\n\n', b'data: " brown"\n\n', b"data: more\n\n"])
    assert good.answer.wire[: good.between].endswith(b'data: " brown"\n\n\r\n')
    assert good.answer.wire[: good.before].endswith(b"data: ")
    assert good.answer.wire[: good.head].endswith(b"\r\n\r\n")


def test_calls_come_with_reversed_indexes() -> None:
    deltas = [
        call["index"]
        for event in events_in(body_of(FAULTS["calls_in_reversed_order"]()))
        for choice in event["choices"]
        for call in choice["delta"].get("tool_calls") or ()
    ]
    assert deltas == [1, 0, 0]


# On the wire


@pytest.mark.parametrize(("api", "name"), PLAYED)
async def test_a_fault_arrives_as_it_is_and_leaves_no_connection(api: str, name: str) -> None:
    answer = fault_of(api, name)()
    async with FakeUpstream() as up:
        up.always(answer)
        reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
        writer.write(POST)
        assert await reader.readexactly(len(answer.wire)) == answer.wire
        if answer.ending is Ending.CLOSE:
            assert await reader.read() == b""
        elif answer.ending is Ending.RESET:
            with pytest.raises(ConnectionResetError):
                await reader.read()
        else:
            assert not reader.at_eof()
            assert up.open_connections == 1
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        await up.all_closed()


async def test_a_fault_can_be_met_again_and_again() -> None:
    async with FakeUpstream() as up:
        up.always(FAULTS["cut_inside_line"]())
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
            writer.write(POST)
            assert await reader.read() == FAULTS["cut_inside_line"]().wire
            writer.close()
        assert len(up.requests) == 3


def test_silence_is_no_byte_at_all() -> None:
    assert FAULTS["accepts_and_is_silent"]() == raw(b"", Ending.SILENCE)
    assert FAULTS["refuses"]().refuses
