"""What every response cache does: it gives back what it was given, to the same project, for as long as was said."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

from antiphon.ports import Clock, ResponseCache
from antiphon.testing.clock import FakeClock

OpenCache: TypeAlias = Callable[[Clock, int], AbstractAsyncContextManager[ResponseCache]]
"""Opens a cache that keeps so many bytes for each project. Time is the clock's."""

KEY, OTHER, THIRD = (bytes([number]) * 32 for number in range(3))
FAR = 4_000_000_000.0
MINUTES = 120.0
"""So far apart that any cache tells the uses apart."""


class ResponseCacheContract:
    """Fixture: `open_cache`."""

    async def test_what_was_put_in_is_found_again_byte_by_byte(self, open_cache: OpenCache) -> None:
        data = bytes(range(256))
        async with open_cache(FakeClock(), 1000) as cache:
            assert await cache.get("p", KEY) is None
            await cache.put("p", KEY, data, FAR)
            assert await cache.get("p", KEY) == data
            assert await cache.get("p", OTHER) is None

    async def test_it_is_found_as_soon_as_it_was_put_in_is_told(self, open_cache: OpenCache) -> None:
        async with open_cache(FakeClock(), 1000) as cache:
            for number in range(20):
                await cache.put("p", KEY, b"%d" % number, FAR)
                assert await cache.get("p", KEY) == b"%d" % number

    async def test_no_project_finds_what_another_put_in(self, open_cache: OpenCache) -> None:
        async with open_cache(FakeClock(), 1000) as cache:
            await cache.put("ours", KEY, b"ours", FAR)
            assert await cache.get("theirs", KEY) is None
            await cache.put("theirs", KEY, b"theirs", FAR)
            await cache.remove("theirs", KEY)
            assert await cache.get("ours", KEY) == b"ours"

    async def test_what_is_removed_is_gone(self, open_cache: OpenCache) -> None:
        async with open_cache(FakeClock(), 1000) as cache:
            await cache.put("p", KEY, b"a", FAR)
            await cache.remove("p", KEY)
            await cache.remove("p", OTHER)
            assert await cache.get("p", KEY) is None

    async def test_its_time_ends(self, open_cache: OpenCache) -> None:
        clock = FakeClock()
        async with open_cache(clock, 1000) as cache:
            await cache.put("p", KEY, b"a", clock.now() + 10)
            await clock.advance(9.5)
            assert await cache.get("p", KEY) == b"a"
            await clock.advance(0.5)
            assert await cache.get("p", KEY) is None

    async def test_a_use_does_not_make_its_time_longer(self, open_cache: OpenCache) -> None:
        clock = FakeClock()
        async with open_cache(clock, 1000) as cache:
            await cache.put("p", KEY, b"a", clock.now() + 2 * MINUTES)
            await clock.advance(MINUTES)
            assert await cache.get("p", KEY) == b"a"
            await clock.advance(MINUTES)
            assert await cache.get("p", KEY) is None

    async def test_beyond_the_limit_what_was_used_least_recently_goes(self, open_cache: OpenCache) -> None:
        clock = FakeClock()
        async with open_cache(clock, 100) as cache:
            for key in (KEY, OTHER):
                await cache.put("p", key, b"x" * 40, FAR)
                await clock.advance(MINUTES)
            assert await cache.get("p", KEY) is not None
            await clock.advance(MINUTES)
            await cache.put("p", THIRD, b"x" * 40, FAR)
            assert await cache.get("p", OTHER) is None
            assert await cache.get("p", KEY) is not None
            assert await cache.get("p", THIRD) is not None

    async def test_what_is_put_in_again_does_not_count_twice(self, open_cache: OpenCache) -> None:
        async with open_cache(FakeClock(), 100) as cache:
            await cache.put("p", OTHER, b"y" * 40, FAR)
            for _ in range(5):
                await cache.put("p", KEY, b"x" * 60, FAR)
            assert await cache.get("p", OTHER) is not None

    async def test_no_project_pushes_out_what_another_put_in(self, open_cache: OpenCache) -> None:
        async with open_cache(FakeClock(), 100) as cache:
            await cache.put("ours", KEY, b"x" * 90, FAR)
            for key in (KEY, OTHER, THIRD):
                await cache.put("theirs", key, b"x" * 90, FAR)
            assert await cache.get("ours", KEY) is not None

    async def test_what_is_larger_than_the_limit_is_not_kept_nor_what_it_was_to_replace(
        self, open_cache: OpenCache
    ) -> None:
        async with open_cache(FakeClock(), 100) as cache:
            await cache.put("p", OTHER, b"y" * 40, FAR)
            await cache.put("p", KEY, b"x" * 50, FAR)
            await cache.put("p", KEY, b"x" * 101, FAR)
            assert await cache.get("p", KEY) is None
            assert await cache.get("p", OTHER) is not None
