"""The only two loops of the toolkit: how things are done with the async SDK, and how with the sync one.

All logic is written once, as coroutines and async generators over an `IO`. Those of `Blocking` do their work at once
and never suspend, so that `run` brings such a coroutine to its end with one step. Nothing runs in another loop or
thread for it.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, Protocol, TypeVar

from antiphon.client.errors import DeadlineExceeded

__all__ = ["IO", "AsyncClock", "Blocking", "Clock", "Looping", "SystemClock", "Timer", "iterate", "run"]

T = TypeVar("T")


class IO(Protocol):
    """What the logic needs from the world. Deadlines are monotonic seconds; they raise DeadlineExceeded."""

    has_loop: bool
    """Whether coroutines of others can be awaited."""

    def monotonic(self) -> float:
        """Seconds that only go forward."""
        ...

    async def sleep(self, seconds: float, deadline: float | None) -> None:
        """Wait."""

    async def call(self, ask: Callable[[], Any], deadline: float | None) -> Any:
        """What a function of the SDK gives, awaited where it is to be."""
        ...

    async def read(self, stream: Any, deadline: float | None) -> Any:
        """The next event of the SDK's stream; None at its end."""
        ...

    async def close(self, stream: Any) -> None:
        """Let a stream's connection go."""

    async def together(self, jobs: Sequence[Callable[[], Coroutine[Any, Any, T]]], limit: int) -> list[T]:
        """What some jobs give, in their order, `limit` of them at a time."""
        ...

    def side_by_side(self, jobs: Iterator[Callable[[], Coroutine[Any, Any, T]]], limit: int) -> AsyncGenerator[T, None]:
        """What some jobs give, as they finish, `limit` of them at a time. Closed early, it ends those that it can."""
        ...

    async def invoke(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """What a function of the application gives."""

    def limits(self, timeout: Any, deadline: float | None) -> dict[str, Any]:
        """What the SDK is told of a deadline, as arguments of its methods. `timeout` is what it would do without."""
        ...


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine over `Blocking` gives. Raises RuntimeError if it waits for a loop, which is a defect."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    coroutine.close()
    raise RuntimeError("This waits for an event loop, and there is none: use the async client.")


def iterate(flow: AsyncGenerator[T, None]) -> Iterator[T]:
    """What an async generator over `Blocking` gives."""

    async def step() -> tuple[T] | None:
        async for value in flow:
            return (value,)
        return None

    try:
        while (given := run(step())) is not None:
            yield given[0]
    finally:
        run(flow.aclose())


# Async


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """Let it not come."""


class AsyncClock(Protocol):
    """What time it is. `antiphon.testing.FakeClock` is one too."""

    def monotonic(self) -> float:
        """Seconds that only go forward."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call back in so many seconds."""
        ...


class SystemClock:
    """The machine's own time."""

    def monotonic(self) -> float:
        """Seconds that only go forward."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call back in so many seconds."""
        return asyncio.get_running_loop().call_later(seconds, callback)


class Looping:
    """Implements `IO` on asyncio."""

    has_loop = True

    def __init__(self, clock: AsyncClock | None = None) -> None:
        self._clock: AsyncClock = clock or SystemClock()

    def monotonic(self) -> float:
        """Seconds that only go forward."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float, deadline: float | None) -> None:
        """Wait."""
        async with self._until(deadline):
            await self._clock.sleep(seconds)

    async def call(self, ask: Callable[[], Any], deadline: float | None) -> Any:
        """What a function of the SDK gives."""
        async with self._until(deadline):
            given = ask()
            return await given if inspect.isawaitable(given) else given

    async def read(self, stream: Any, deadline: float | None) -> Any:
        """The next event of the SDK's stream; None at its end."""
        async with self._until(deadline):
            return await anext(stream, None)

    async def close(self, stream: Any) -> None:
        """Let a stream's connection go, also when this task is being cancelled."""
        await asyncio.shield(stream.close())

    async def together(self, jobs: Sequence[Callable[[], Coroutine[Any, Any, T]]], limit: int) -> list[T]:
        """What some jobs give, in their order."""
        places = asyncio.Semaphore(limit)

        async def bounded(job: Callable[[], Awaitable[T]]) -> T:
            async with places:
                return await job()

        tasks = [asyncio.ensure_future(bounded(job)) for job in jobs]
        try:
            return await asyncio.gather(*tasks)
        finally:
            await _end(tasks)

    async def side_by_side(
        self, jobs: Iterator[Callable[[], Coroutine[Any, Any, T]]], limit: int
    ) -> AsyncGenerator[T, None]:
        """What some jobs give, as they finish."""
        running: set[asyncio.Task[T]] = set()
        try:
            while True:
                running |= {asyncio.create_task(job()) for job in islice(jobs, limit - len(running))}
                if not running:
                    return
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                while done:
                    yield done.pop().result()
        finally:
            await _end(running)

    async def invoke(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """What a function of the application gives: a coroutine in this loop, any other in a thread."""
        if inspect.iscoroutinefunction(function):
            return await function(**arguments)
        given = await asyncio.to_thread(function, **arguments)
        return await given if inspect.isawaitable(given) else given

    def limits(self, timeout: Any, deadline: float | None) -> dict[str, Any]:  # noqa: ARG002
        """Nothing: whatever takes too long is cancelled."""
        return {}

    @asynccontextmanager
    async def _until(self, deadline: float | None) -> AsyncIterator[None]:
        if deadline is None:
            yield
            return
        loop = asyncio.get_running_loop()
        scope = asyncio.timeout(None)
        alarm = self._clock.call_later(
            max(0.0, deadline - self._clock.monotonic()), lambda: scope.reschedule(loop.time())
        )
        try:
            async with scope:
                yield
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise DeadlineExceeded("The time for this request is over.") from error
        finally:
            alarm.cancel()


async def _end(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel what still runs, and wait until it is over."""
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


# Sync


class Clock(Protocol):
    """What time it is, for those who may wait in their thread."""

    def monotonic(self) -> float:
        """Seconds that only go forward."""
        ...

    def sleep(self, seconds: float, /) -> None:
        """Wait."""


class _Time:
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


class Blocking:
    """Implements `IO` in the caller's own thread. Deadlines are looked at before each call and between events.

    A connection that is silent is left after the time that was left when it was opened.
    """

    has_loop = False

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock: Clock = clock or _Time()

    def monotonic(self) -> float:
        """Seconds that only go forward."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float, deadline: float | None) -> None:
        """Wait."""
        if deadline is not None and self.monotonic() + seconds > deadline:
            self._clock.sleep(max(0.0, deadline - self.monotonic()))
        else:
            self._clock.sleep(seconds)
        self._check(deadline)

    async def call(self, ask: Callable[[], Any], deadline: float | None) -> Any:
        """What a function of the SDK gives."""
        self._check(deadline)
        return ask()

    async def read(self, stream: Any, deadline: float | None) -> Any:
        """The next event of the SDK's stream; None at its end."""
        self._check(deadline)
        event = next(stream, None)
        self._check(deadline)
        return event

    async def close(self, stream: Any) -> None:
        """Let a stream's connection go."""
        stream.close()

    async def together(self, jobs: Sequence[Callable[[], Coroutine[Any, Any, T]]], limit: int) -> list[T]:
        """What some jobs give, in their order: in threads of their own, if there is more than one."""
        from concurrent.futures import ThreadPoolExecutor

        if len(jobs) < 2 or limit == 1:
            return [run(job()) for job in jobs]
        with ThreadPoolExecutor(min(limit, len(jobs))) as pool:
            futures = [pool.submit(_run_job, job) for job in jobs]
            return [future.result() for future in futures]

    async def side_by_side(
        self, jobs: Iterator[Callable[[], Coroutine[Any, Any, T]]], limit: int
    ) -> AsyncGenerator[T, None]:
        """What some jobs give, as they finish: in threads of their own. Those that run when it is closed come to their
        end first."""
        from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

        running: set[Future[T]] = set()
        with ThreadPoolExecutor(limit) as pool:
            try:
                while True:
                    running |= {pool.submit(_run_job, job) for job in islice(jobs, limit - len(running))}
                    if not running:
                        return
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    while done:
                        yield done.pop().result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    async def invoke(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
        """What a function of the application gives."""
        return function(**arguments)

    def limits(self, timeout: Any, deadline: float | None) -> dict[str, Any]:
        """The time that is left, as the SDK's time-out, if that is longer."""
        if deadline is None:
            return {}
        left = max(0.001, deadline - self.monotonic())
        silence = getattr(timeout, "read", timeout)
        return {"timeout": left} if not isinstance(silence, int | float) or silence > left else {}

    def _check(self, deadline: float | None) -> None:
        if deadline is not None and self.monotonic() >= deadline:
            raise DeadlineExceeded("The time for this request is over.")


def _run_job(job: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return run(job())
