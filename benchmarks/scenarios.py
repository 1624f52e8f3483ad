"""What is measured and what it should reach: two tables, without any action.

A scenario is one run of the load generator; a metric is one figure of its result. Goals are those for the full
pipeline, stored, with the journal at synchronous=NORMAL, one core for the server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Length:
    """How long one scenario runs, in milliseconds."""

    warmup: int
    window: int

    @property
    def drain(self) -> int:
        """What streams that still run at the end of the window have to end, before they are cut."""
        return 15_000

    def deltas_every(self, interval: int) -> int:
        """How many deltas keep a stream busy until a second after the window."""
        return (self.warmup + self.window + 1000) // interval


@dataclass(frozen=True)
class Metric:
    """A figure of a result. ``goal`` is for a stored response, ``unstored`` where that differs."""

    title: str
    unit: str
    value: Callable[[Result], float | None]
    goal: float | None = None
    unstored: float | None = None
    more_is_better: bool = False
    digits: int = 2

    def goal_for(self, stored: bool) -> float | None:
        return self.goal if stored or self.unstored is None else self.unstored

    def met(self, value: float, stored: bool) -> bool | None:
        """None where no goal is set."""
        goal = self.goal_for(stored)
        if goal is None:
            return None
        return value >= goal if self.more_is_better else value <= goal


@dataclass(frozen=True)
class Scenario:
    """One run of the load generator.

    ``model`` tells the fake upstream how to answer; ``alone`` replaces it where load and upstream are measured without
    a server, to show what they could do. ``deltas`` is what each stream must have; 0 means not checked.
    """

    name: str
    model: Callable[[Length], str]
    connections: int = 1
    stream: bool = True
    spread: int = 0
    deltas: Callable[[Length], int] = lambda length: 0
    alone: Callable[[Length], str] | None = None
    metrics: tuple[Metric, ...] = ()

    def arguments_alone(self, length: Length) -> list[str]:
        if self.alone is None:
            return self.arguments(length)
        return replace(self, model=self.alone, deltas=lambda length: 0).arguments(length)

    def arguments(self, length: Length) -> list[str]:
        """The options of the load generator, without port, store and what it watches."""
        numbers = {
            "--connections": self.connections,
            "--warmup": length.warmup,
            "--window": length.window,
            "--drain": length.drain,
            "--spread": self.spread,
            "--deltas": self.deltas(length),
        }
        plain = [] if self.stream else ["--plain"]
        return ["--model", self.model(length), *plain, *(str(part) for pair in numbers.items() for part in pair)]


def named(name: str) -> Callable[[Length], str]:
    """A model whose answer does not depend on the length of the run."""
    return lambda length: name


def figure(*path: str) -> Callable[[Result], float | None]:
    """A figure by its place in the result; None when nothing was measured there."""

    def value(result: Result) -> float | None:
        found: Any = result
        for name in path:
            found = None if found is None else found[name]
        return None if found is None else float(found)

    return value


def cpu_per_delta(result: Result) -> float | None:
    """Microseconds of the server's CPU, user and system, for each delta delivered."""
    return result["cpu_s"][0] / result["deltas"] * 1e6 if result["deltas"] else None


def rate(title: str, field_name: str, unit: str, goal: float | None, unstored: float | None = None) -> Metric:
    return Metric(title, unit, figure(field_name), goal, unstored, more_is_better=True, digits=0)


def latency(title: str, samples: str, rank: str, goal: float | None) -> Metric:
    return Metric(f"{title}, {rank}", "ms", figure(samples, rank), goal)


def cpu(title: str, goal: float | None) -> Metric:
    return Metric(f"{title}, CPU a delta", "µs", cpu_per_delta, goal, digits=1)


SCENARIOS = (
    Scenario(
        "burst",
        named("burst-200"),
        connections=16,
        deltas=lambda length: 200,
        metrics=(rate("burst, 16 streams", "deltas_per_s", "deltas/s", 150_000), cpu("burst", 7)),
    ),
    Scenario(
        "chunks",
        named("chunks-200"),
        connections=16,
        deltas=lambda length: 200,
        metrics=(rate("burst, an HTTP chunk a delta", "deltas_per_s", "deltas/s", None), cpu("chunks", None)),
    ),
    Scenario(
        "sat256",
        lambda length: f"sat-5-{length.deltas_every(5)}",
        connections=256,
        deltas=lambda length: length.deltas_every(5),
        alone=lambda length: f"sat-1-{length.deltas_every(1)}",
        metrics=(
            rate("sat256 delivered, of 51,200 offered", "deltas_per_s", "deltas/s", 30_000),
            cpu("sat256", 35),
            Metric("sat256, slowest first event", "ms", figure("slowest_start_ms"), digits=0),
        ),
    ),
    Scenario(
        "plain16",
        named("once"),
        connections=16,
        stream=False,
        metrics=(rate("not streamed, 16 connections", "answers_per_s", "req/s", 2_400, 3_000),),
    ),
    Scenario(
        "plain1",
        named("once"),
        stream=False,
        metrics=(
            latency("not streamed, 1 connection", "answer_ms", "p50", 0.6),
            latency("not streamed, 1 connection", "answer_ms", "p99", None),
        ),
    ),
    Scenario(
        "first",
        named("burst-20"),
        deltas=lambda length: 20,
        metrics=(
            latency("first event, 1 stream", "first_event_ms", "p50", 0.5),
            latency("first delta, 1 stream", "first_delta_ms", "p50", 1.3),
        ),
    ),
    Scenario(
        "paced",
        named("paced-20-200"),
        connections=16,
        spread=1000,
        deltas=lambda length: 200,
        metrics=(
            latency("added a delta, 16 paced streams", "added_ms", "p50", 0.2),
            latency("added a delta, 16 paced streams", "added_ms", "p99", 1.8),
        ),
    ),
)

START = Metric("start to first answer", "s", figure("start_s"), 0.8)
IDLE = Metric("memory, idle", "MB", figure("idle_mb"), 90, digits=0)
PEAK = Metric("memory, highest of the run", "MB", figure("peak_mb"), digits=0)
START_NAME = "start"
