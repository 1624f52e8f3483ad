"""The HTTP to an upstream, over real sockets: what is sent, how long it waits, and when connections close."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from antiphon.models import upstream as upstream_module
from antiphon.models.upstream import Answer, Upstream, UpstreamOptions
from antiphon.wire.errors import APIError, InvalidRequest, RateLimited, Unavailable, UpstreamMalformed, UpstreamTimeout
from tests.support.answers import Ending, Send, http_head
from tests.support.upstream import FakeUpstream, Gate, error_answer, json_answer, plain, raw, refused, stream

pytestmark = pytest.mark.anyio

CHUNKS = [b"data: one\n\n", b"data: two\n\n", b"data: three\n\n"]
FOREVER = 60.0


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as server:
        yield server


def connect(fake: FakeUpstream, **options: Any) -> Upstream:
    return Upstream(UpstreamOptions(base_url=fake.base_url, **options))


async def read_all(answer: Answer) -> list[bytes]:
    found: list[bytes] = []
    while events := await answer.events():
        found += [data for _, data in events]
    return found


async def ask(upstream: Upstream) -> list[bytes]:
    with await upstream.open("/chat", b"{}") as answer:
        found = await read_all(answer)
        answer.finish()
        return found


async def until(happened: Callable[[], bool]) -> None:
    """Turn the loop until something has happened; the time-out only keeps a broken test from hanging."""
    async with asyncio.timeout(FOREVER):
        while not happened():  # noqa: ASYNC110 (aiohttp has no event for it)
            await asyncio.sleep(0)


# What is sent


async def test_a_request_is_json_to_the_path_below_the_base_url(fake: FakeUpstream) -> None:
    fake.always(stream(CHUNKS))
    async with aclosing(Upstream(UpstreamOptions(base_url=fake.base_url + "/", api_key="k1"))) as upstream:
        assert await ask(upstream) == [b"one", b"two", b"three"]
    (request,) = fake.requests
    assert (request.method, request.target, request.body) == ("POST", "/v1/chat", b"{}")
    sent = {name: request.headers[name] for name in ("content-type", "accept", "accept-encoding", "authorization")}
    assert sent == {
        "content-type": "application/json",
        "accept": "text/event-stream",
        "accept-encoding": "identity",
        "authorization": "Bearer k1",
    }


async def test_without_a_key_none_is_sent(fake: FakeUpstream) -> None:
    fake.always(stream(CHUNKS))
    for key in (None, "", lambda: None):
        async with aclosing(connect(fake, api_key=key)) as upstream:
            await ask(upstream)
    assert all("authorization" not in request.headers for request in fake.requests)


async def test_a_key_is_asked_for_with_each_request(fake: FakeUpstream) -> None:
    fake.always(stream(CHUNKS))
    keys = iter(["k1\n", "k2"])
    async with aclosing(connect(fake, api_key=lambda: next(keys))) as upstream:
        await ask(upstream)
        await ask(upstream)
    assert [request.headers["authorization"] for request in fake.requests] == ["Bearer k1", "Bearer k2"]


async def test_a_key_may_have_to_be_waited_for(fake: FakeUpstream) -> None:
    async def key() -> str:
        return "k3"

    fake.always(stream(CHUNKS))
    async with aclosing(connect(fake, api_key=key)) as upstream:
        await ask(upstream)
    assert fake.requests[0].headers["authorization"] == "Bearer k3"


async def test_configured_headers_go_over_ours(fake: FakeUpstream) -> None:
    fake.always(stream(CHUNKS))
    async with aclosing(connect(fake, api_key="k", headers={"User-Agent": "me", "api-key": "k"})) as upstream:
        await ask(upstream)
    assert fake.requests[0].headers["user-agent"] == "me"
    assert fake.requests[0].headers["api-key"] == "k"


async def test_cookies_are_not_kept(fake: FakeUpstream) -> None:
    fake.always(stream(CHUNKS, headers={"Set-Cookie": "a=b"}))
    by_name = UpstreamOptions(base_url=f"http://localhost:{fake.port}/v1")  # cookies of bare addresses are never kept
    async with aclosing(Upstream(by_name)) as upstream:
        await ask(upstream)
        await ask(upstream)
    assert all("cookie" not in request.headers for request in fake.requests)


async def test_proxies_of_the_environment_are_not_used(fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    fake.always(stream(CHUNKS))
    async with aclosing(connect(fake)) as upstream:
        assert await ask(upstream)


async def test_a_redirect_is_not_followed(fake: FakeUpstream) -> None:
    async with FakeUpstream() as other, aclosing(connect(fake)) as upstream:
        fake.always(plain(307, headers={"Location": other.base_url + "/chat"}))
        other.always(stream(CHUNKS))
        with pytest.raises(UpstreamMalformed):
            await ask(upstream)
        assert other.requests == []


async def test_a_large_body_is_sent_whole(fake: FakeUpstream) -> None:
    fake.always(stream(CHUNKS))
    body = b"x" * 3_000_000
    async with aclosing(connect(fake)) as upstream:
        with await upstream.open("/chat", body) as answer:
            await read_all(answer)
    assert fake.requests[0].body == body


# Connections


async def test_a_connection_is_used_again(fake: FakeUpstream) -> None:
    fake.always(stream(CHUNKS))
    async with aclosing(connect(fake)) as upstream:
        for _ in range(3):
            await ask(upstream)
        assert len(fake.connections) == 1


async def test_an_answer_that_is_left_early_closes_its_connection(fake: FakeUpstream) -> None:
    gate = Gate()
    fake.always(stream(CHUNKS).gated(gate))
    async with aclosing(connect(fake)) as upstream:
        with await upstream.open("/chat", b"{}") as answer:
            gate.release()
            assert await answer.events() == [(None, b"one")]
        await fake.closed_by_peer()


async def test_a_finished_answer_hands_its_connection_back_when_the_upstream_ends_it(fake: FakeUpstream) -> None:
    gate = Gate()
    fake.always(stream(CHUNKS).gated(gate))
    async with aclosing(connect(fake)) as upstream:
        with await upstream.open("/chat", b"{}") as answer:
            gate.release(3)
            while (None, b"three") not in await answer.events():
                pass
            answer.finish()  # before the last HTTP chunk has come
        gate.open()
        await until(lambda: answer._response.closed)
        await ask(upstream)
        assert len(fake.connections) == 1


async def test_a_finished_answer_that_never_ends_is_closed(fake: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_module, "LINGER", 0.01)
    answer = stream(CHUNKS)
    fake.always(answer.stall_after(len(answer.wire) - len(b"0\r\n\r\n")))
    async with aclosing(connect(fake)) as upstream:
        with await upstream.open("/chat", b"{}") as being_read:
            assert len(await being_read.events()) > 0
            being_read.finish()
        await fake.closed_by_peer()


@pytest.mark.parametrize("window", ["before the head", "before the first chunk", "between chunks"])
async def test_cancelling_the_reader_closes_the_connection_at_once(fake: FakeUpstream, window: str) -> None:
    gate = Gate()
    fake.always(raw(b"", Ending.SILENCE) if window == "before the head" else stream(CHUNKS).gated(gate))
    if window == "between chunks":
        gate.release()
    async with aclosing(connect(fake)) as upstream:
        reading = asyncio.create_task(ask(upstream))
        await fake.received()
        if window != "before the head":
            await gate.reached()
        if window == "between chunks":
            await gate.reached()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await fake.closed_by_peer()


async def test_an_answer_that_was_left_is_watched_no_more(fake: FakeUpstream) -> None:
    gate = Gate()
    fake.always(stream(CHUNKS).gated(gate))
    async with aclosing(connect(fake)) as upstream:
        with await upstream.open("/chat", b"{}") as answer:
            gate.release()
            await answer.events()
        assert upstream._watch is not None
        assert answer not in upstream._watch._answers


async def test_closing_the_upstream_ends_what_is_being_read(fake: FakeUpstream) -> None:
    gate = Gate()
    fake.always(stream(CHUNKS).gated(gate))
    upstream = connect(fake)
    reading = asyncio.create_task(ask(upstream))
    await gate.reached()
    await upstream.aclose()
    with pytest.raises(APIError):
        await reading
    await fake.closed_by_peer()


async def test_a_kept_connection_that_was_closed_is_replaced_once(fake: FakeUpstream) -> None:
    closing = raw(b"")
    fake.script = [stream(CHUNKS), closing, stream(CHUNKS), stream(CHUNKS)]
    async with aclosing(connect(fake)) as upstream:
        await ask(upstream)
        assert await ask(upstream) == [b"one", b"two", b"three"]
        assert (len(fake.requests), len(fake.connections)) == (3, 2)


async def test_a_replacement_that_is_closed_too_is_an_outage(fake: FakeUpstream) -> None:
    closing = raw(b"")
    fake.script = [stream(CHUNKS), closing, closing, stream(CHUNKS)]
    async with aclosing(connect(fake)) as upstream:
        await ask(upstream)
        with pytest.raises(Unavailable):
            await ask(upstream)
        assert len(fake.requests) == 3


async def test_a_new_connection_that_is_closed_is_not_tried_again(fake: FakeUpstream) -> None:
    fake.script = [raw(b""), stream(CHUNKS)]
    async with aclosing(connect(fake)) as upstream:
        with pytest.raises(Unavailable) as caught:
            await ask(upstream)
        assert len(fake.requests) == 1
    assert caught.value.code == "upstream_cut"


@pytest.mark.parametrize("count", [1, 12, 20, 40])
async def test_an_answer_that_was_begun_is_not_asked_for_again(fake: FakeUpstream, count: int) -> None:
    fake.script = [stream(CHUNKS), stream(CHUNKS).cut_after(count), stream(CHUNKS)]
    async with aclosing(connect(fake)) as upstream:
        await ask(upstream)
        with pytest.raises(APIError):
            await ask(upstream)
        assert len(fake.requests) == 2


async def test_what_arrived_before_a_cut_is_read_before_the_error(fake: FakeUpstream) -> None:
    gate = Gate()
    whole = stream(CHUNKS)
    fake.always(whole.cut_after(whole.after(b"three\n\n\r\n")).gated(gate))
    async with aclosing(connect(fake)) as upstream:
        with await upstream.open("/chat", b"{}") as answer:
            gate.release()
            assert await answer.events() == [(None, b"one")]
            gate.release(2)
            await fake.all_closed()
            await until(lambda: answer._content.exception() is not None)
            assert await answer.events() == [(None, b"two"), (None, b"three")]
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await answer.events()


async def test_a_broken_http_chunk_ends_the_answer_at_once(fake: FakeUpstream) -> None:
    good = stream(CHUNKS[:1])
    fake.always(replace(good, steps=(good.steps[0], Send(b"zz\r\n\r\n")), ending=Ending.SILENCE))
    async with aclosing(connect(fake)) as upstream:
        with pytest.raises(Unavailable):
            await ask(upstream)
        await fake.closed_by_peer()


# Waiting


async def test_nobody_listening_is_an_outage(fake: FakeUpstream) -> None:
    fake.always(refused())
    async with aclosing(connect(fake)) as upstream:
        with pytest.raises(Unavailable) as caught:
            await ask(upstream)
    assert caught.value.code == "upstream_unreachable"
    assert "127.0.0.1" not in caught.value.message


async def test_a_name_that_nobody_has_is_an_outage() -> None:
    async with aclosing(Upstream(UpstreamOptions(base_url="http://no-such-host.invalid/v1"))) as upstream:
        with pytest.raises(Unavailable) as caught:
            await ask(upstream)
    assert caught.value.code == "upstream_unreachable"


async def test_no_answer_in_time_is_a_time_out(fake: FakeUpstream) -> None:
    fake.always(raw(b"", Ending.SILENCE))
    async with aclosing(connect(fake, first_token_timeout=0.05)) as upstream:
        with pytest.raises(UpstreamTimeout):
            await ask(upstream)
        await fake.closed_by_peer()


async def test_signs_of_life_are_no_first_token(fake: FakeUpstream) -> None:
    fake.always(stream([b": still here\n\n"] * 1000).paced(0.005))
    async with aclosing(connect(fake, first_token_timeout=0.1, idle_timeout=FOREVER)) as upstream:
        with pytest.raises(UpstreamTimeout):
            await ask(upstream)
        await fake.closed_by_peer()


async def test_silence_after_the_first_output_is_a_stall(fake: FakeUpstream) -> None:
    whole = stream(CHUNKS)
    fake.always(whole.stall_after(whole.after(b"one\n\n\r\n")))
    async with aclosing(connect(fake, first_token_timeout=FOREVER, idle_timeout=0.05)) as upstream:
        with await upstream.open("/chat", b"{}") as answer:
            assert await answer.events() == [(None, b"one")]
            answer.begun = True
            with pytest.raises(UpstreamTimeout) as caught:
                await answer.events()
        await fake.closed_by_peer()
    assert caught.value.code == "upstream_stalled"


async def test_the_time_that_the_reader_takes_does_not_count(fake: FakeUpstream) -> None:
    fake.always(stream(CHUNKS))
    async with aclosing(connect(fake)) as upstream:
        with await upstream.open("/chat", b"{}") as answer:
            await answer.events()
            assert answer.deadline == float("inf")


class FakeLoop:
    """A loop's clock and timers, moved on by the test."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Any]] = []
        self.calls = 0

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Any) -> Any:
        timer = (when, callback)
        self.timers.append(timer)
        self.calls += 1
        return type("Timer", (), {"cancel": lambda _: self.timers.remove(timer)})()

    def move_to(self, now: float) -> None:
        self.now = now
        for timer in sorted(each for each in self.timers if each[0] <= now):
            self.timers.remove(timer)
            timer[1]()


class FakeAnswer:
    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.expired = False

    def expire(self) -> None:
        self.expired = True
        self.deadline = float("inf")


def test_one_timer_watches_all_answers_and_moves_only_when_it_fires() -> None:
    loop: Any = FakeLoop()
    watch = upstream_module._Watch(loop)
    early, late = FakeAnswer(10.0), FakeAnswer(20.0)
    for answer in (early, late):
        watch.add(answer)  # type: ignore[arg-type]
        watch.arm(answer.deadline)
    for now in (5.0, 6.0, 7.0):
        early.deadline = now + 10.0  # a read each second: the stamp moves, the timer does not
        watch.arm(early.deadline)
    assert loop.calls == 1
    loop.move_to(10.0)
    assert (early.expired, late.expired, loop.calls) == (False, False, 2)
    loop.move_to(17.0)
    assert (early.expired, late.expired) == (True, False)
    loop.move_to(20.0)
    assert late.expired
    assert loop.timers == []


def test_an_earlier_stamp_sets_the_timer_earlier() -> None:
    loop: Any = FakeLoop()
    watch = upstream_module._Watch(loop)
    answer = FakeAnswer(100.0)
    watch.add(answer)  # type: ignore[arg-type]
    watch.arm(100.0)
    answer.deadline = 5.0
    watch.arm(5.0)
    assert [when for when, _ in loop.timers] == [5.0]
    loop.move_to(5.0)
    assert answer.expired


# What is answered


async def test_a_refusal_is_raised_with_its_meaning(fake: FakeUpstream) -> None:
    fake.script = [
        error_answer(429, "Slow down.", headers={"Retry-After": "7"}),
        error_answer(400, "Bad.", code="invalid_value", param="x"),
        stream(CHUNKS),
    ]
    async with aclosing(connect(fake)) as upstream:
        with pytest.raises(RateLimited) as limited:
            await ask(upstream)
        with pytest.raises(InvalidRequest) as refusal:
            await ask(upstream)
        assert await ask(upstream)
        assert len(fake.connections) == 1
    assert (limited.value.retry_after, limited.value.message) == (7.0, "Slow down.")
    assert (refusal.value.code, refusal.value.param) == ("invalid_value", "x")


async def test_the_key_is_in_no_error(fake: FakeUpstream) -> None:
    fake.always(error_answer(400, "The key abcdefgh is odd."))
    async with aclosing(connect(fake, api_key="abcdefgh")) as upstream:
        with pytest.raises(InvalidRequest) as caught:
            await ask(upstream)
        fake.always(stream(CHUNKS))
        with await upstream.open("/chat", b"{}") as answer:
            assert "abcdefgh" not in answer.error({"message": "The key abcdefgh is odd."}).message
    assert "abcdefgh" not in caught.value.message


async def test_a_refusal_without_end_is_read_so_far_and_no_further(fake: FakeUpstream) -> None:
    endless = http_head(500, {"Content-Type": "text/plain", "Content-Length": "100000000"}) + b"x" * 200_000
    fake.always(raw(endless, Ending.SILENCE))
    async with aclosing(connect(fake)) as upstream:
        with pytest.raises(Unavailable, match=r"^The upstream answered 500\.$"):
            await ask(upstream)
        await fake.closed_by_peer()


async def test_a_body_is_read_whole_up_to_a_limit(fake: FakeUpstream) -> None:
    fake.always(json_answer([1, 2, 3]))
    async with aclosing(connect(fake, max_body=9)) as upstream:
        assert await upstream.post_json("/count", b"{}") == b"[1, 2, 3]"
        assert fake.requests[0].headers["accept"] == "application/json"
    async with aclosing(connect(fake, max_body=8)) as upstream:
        with pytest.raises(UpstreamMalformed):
            await upstream.post_json("/count", b"{}")


async def test_the_limit_counts_what_is_unpacked(fake: FakeUpstream) -> None:
    packed = gzip.compress(b" " * 1_000_000 + b"{}")
    fake.always(plain(200, packed, content_type="application/json", headers={"Content-Encoding": "gzip"}))
    async with aclosing(connect(fake)) as upstream:
        assert (await upstream.post_json("/count", b"{}")).strip() == b"{}"
    async with aclosing(connect(fake, max_body=100_000)) as upstream:
        with pytest.raises(UpstreamMalformed):
            await upstream.post_json("/count", b"{}")


@pytest.mark.parametrize(
    ("body", "content_type", "is_stream"),
    [
        (b"data: {}\n\n", "text/event-stream", True),
        (b"{}", "text/event-stream; charset=utf-8", True),
        (b"data: {}\n\n", "text/plain", True),
        (b": hello\n\n", None, True),
        (b"{}", "application/json", False),
        (b"\xef\xbb\xbf \n{}", "text/plain", False),
        (b"[]", None, False),
        (b"<html>", "text/plain", False),
    ],
)
async def test_a_stream_is_known_by_its_type_or_its_first_bytes(
    fake: FakeUpstream, body: bytes, content_type: str | None, is_stream: bool
) -> None:
    fake.always(plain(200, body, content_type=content_type))
    async with aclosing(connect(fake)) as upstream:
        with await upstream.open("/chat", b"{}") as answer:
            assert await answer.is_stream() is is_stream
            assert await answer.body() == body


async def test_a_web_page_is_no_answer_and_is_called_what_it_is(fake: FakeUpstream) -> None:
    fake.always(plain(200, b"<html>Sign in</html>", content_type="text/html"))
    async with aclosing(connect(fake)) as upstream:
        with pytest.raises(UpstreamMalformed, match="web page"):
            await upstream.open("/chat", b"{}")


async def test_a_line_that_is_too_long_is_malformed(fake: FakeUpstream) -> None:
    fake.always(stream([b"data: " + b"x" * 200]))
    async with aclosing(connect(fake, max_line=100)) as upstream:
        with pytest.raises(UpstreamMalformed):
            await ask(upstream)
        await fake.closed_by_peer()
