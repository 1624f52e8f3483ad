"""Measures Antiphon and prints what came out beside what it should be.

``python benchmarks/run.py`` runs everything, ten minutes; ``--quick`` only shows that it works. Needs Linux and a C
compiler. What is measured, and how to read the table: README.md in this folder.
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processes import (
    HERE,
    Cores,
    Server,
    Unusable,
    compile_programs,
    free_port,
    machine,
    pinned_cores,
    run_load,
    running,
    wait_for_upstream,
)
from scenarios import IDLE, PEAK, SCENARIOS, START, START_NAME, Length, Metric, Scenario

FULL_LENGTH = Length(warmup=1000, window=5000)
QUICK_LENGTH = Length(warmup=500, window=2000)
SETTLE_SECONDS = 0.5  # what a server still does after its last answer is not the next one's
NORMAL, FULL = "normal", "full"
CONFIG = """\
[server]
host = "127.0.0.1"
port = {port}

[models."*"]
backend = "chat_completions"
base_url = "http://127.0.0.1:{upstream}/v1"

[store]
synchronous = "{synchronous}"

[logging]
requests = {watched}

[metrics]
enabled = {watched}
"""
HARNESS, BARE, UNWATCHED = "harness alone", "bare", "NORMAL, no monitoring"
HEADER = ("scenario", "journal", "measured", "goal", "met", "bare", "ratio to bare", "harness alone", "load busy")


@dataclass(frozen=True)
class Target:
    """What the load generator is pointed at, in one way of storing."""

    label: str
    server: Server
    stored: bool = False
    chat: bool = False

    def arguments(self) -> list[str]:
        flags = ["--store"] * self.stored + ["--chat"] * self.chat
        return ["--port", str(self.server.port), "--watch", str(self.server.pid), *flags]


@dataclass
class Bench:
    """One run: where it happens, what it starts, what it has found."""

    folder: Path
    programs: dict[str, Path]
    length: Length
    command: str
    cores: Cores
    monitoring: str = "on"
    results: list[dict[str, Any]] = field(default_factory=list)

    def start_upstream(self, stack: ExitStack) -> Server:
        port = free_port()
        command = [str(self.programs["upstream"]), "--port", str(port)]
        server = stack.enter_context(running("upstream", command, port, self.cores.load, self.folder))
        wait_for_upstream(server)
        return server

    def start_bare(self, stack: ExitStack, upstream: Server) -> Server:
        port = free_port()
        command = [sys.executable, str(HERE / "bare.py"), "--port", str(port), "--upstream", str(upstream.port)]
        server = stack.enter_context(running(BARE, command, port, self.cores.server, self.folder))
        self.record_start(server, BARE, "once")
        return server

    def start_antiphon(self, stack: ExitStack, upstream: Server, synchronous: str, *, watched: bool) -> Server:
        name = synchronous if watched else f"{synchronous}-unwatched"
        port, config = free_port(), self.folder / f"{name}.toml"
        settings = {"port": port, "upstream": upstream.port, "synchronous": synchronous}
        config.write_text(CONFIG.format(**settings, watched=str(watched).lower()))
        data = stack.enter_context(tempfile.TemporaryDirectory(prefix=f"data-{name}-", dir=self.folder))
        places = {"port": port, "data": data, "config": config, "upstream": upstream.port}
        command = [part.format(**places) for part in shlex.split(self.command)]
        server = stack.enter_context(running(f"antiphon-{name}", command, port, self.cores.server, self.folder))
        label = f"stored, {synchronous.upper()}"
        self.record_start(server, label if watched == (self.monitoring != "off") else UNWATCHED, "rehearsal")
        return server

    def record_start(self, server: Server, label: str, model: str) -> None:
        seconds = server.seconds_to_first_answer(model)
        time.sleep(SETTLE_SECONDS)
        self.record(START_NAME, label, {"start_s": seconds, "idle_mb": server.memory_mb("VmRSS")})

    def record_peak(self, target: Target) -> None:
        self.record("peak", target.label, {"peak_mb": target.server.memory_mb("VmHWM")})

    def record(self, scenario: str, label: str, result: dict[str, Any]) -> None:
        self.results.append({"pinned": self.cores.pinned, "scenario": scenario, "target": label, **result})

    def measure(self, scenario: Scenario, target: Target, upstream: Server) -> None:
        print(f"{scenario.name}: {target.label}", file=sys.stderr)
        own = scenario.arguments_alone if target.chat else scenario.arguments
        arguments = [*own(self.length), *target.arguments(), "--watch", str(upstream.pid)]
        before = stats(upstream)
        result = run_load(self.programs["load"], arguments, self.cores.load)
        after = stats(upstream)
        target.server.check_alive()
        result["upstream"] = {name: after[name] - before[name] for name in after}
        self.record(scenario.name, target.label, result)
        time.sleep(SETTLE_SECONDS)

    def run(self, scenarios: Sequence[Scenario]) -> None:
        """All servers run side by side, the idle ones cost nothing: what is compared is measured within seconds."""
        with ExitStack() as stack:
            upstream = self.start_upstream(stack)
            bare = Target(BARE, self.start_bare(stack, upstream))
            watched = self.monitoring != "off"
            normal = self.start_antiphon(stack, upstream, NORMAL, watched=watched)
            full = self.start_antiphon(stack, upstream, FULL, watched=watched)
            kept, unkept = Target("stored, NORMAL", normal, stored=True), Target("unstored", normal)
            own = [kept, unkept, Target("stored, FULL", full, stored=True)]
            if self.monitoring == "both":
                blind = self.start_antiphon(stack, upstream, NORMAL, watched=False)
                own.insert(1, Target(UNWATCHED, blind, stored=True))
            for scenario in scenarios:
                for target in (Target(HARNESS, upstream, chat=True), bare, *own):
                    self.measure(scenario, target, upstream)
            for target in (bare, *own):
                if target is not unkept:
                    self.record_peak(target)


def stats(upstream: Server) -> dict[str, int]:
    body = upstream.request("GET", "/stats")[1]
    found: dict[str, int] = json.loads(body)
    return found


# ---- the table ----


def number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def failures(result: dict[str, Any]) -> str:
    """What went wrong, in words for the cell of the figure; a figure from broken answers is worth nothing."""
    verdicts = result.get("verdicts", {})
    bad = {name: count for name, count in verdicts.items() if count and name != "complete"}
    return f" ({', '.join(f'{count} {name}' for name, count in bad.items())})" if bad else ""


def load_busy(result: dict[str, Any]) -> str:
    """The share of one core that load generator and upstream used: near 100 % they are what was measured."""
    if "seconds" not in result or not result["seconds"]:
        return "–"
    return f"{(result['own_cpu_s'] + result['cpu_s'][-1]) / result['seconds']:.0%}"


def row(metric: Metric, label: str, found: dict[str, dict[str, Any]]) -> list[str]:
    result = found[label]
    value, bare, alone = (metric.value(found[name]) if name in found else None for name in (label, BARE, HARNESS))
    stored, judged = label != "unstored", label != "stored, FULL" and value is not None
    goal = metric.goal_for(stored) if judged else None
    met = metric.met(value, stored) if judged and value is not None else None
    return [
        f"{metric.title} ({metric.unit})",
        label,
        number(value, metric.digits) + failures(result),
        "–" if goal is None else f"{goal:,g}",
        {None: "", True: "yes", False: "no"}[met],
        number(bare, metric.digits),
        "–" if not bare or value is None else f"{value / bare:.2f}",
        number(alone, metric.digits),
        load_busy(result),
    ]


def metrics_by_scenario(scenarios: Sequence[Scenario]) -> Iterator[tuple[str, Metric]]:
    for scenario in scenarios:
        for metric in scenario.metrics:
            yield scenario.name, metric
    yield START_NAME, START
    yield START_NAME, IDLE
    yield "peak", PEAK


def table(results: Sequence[dict[str, Any]], scenarios: Sequence[Scenario]) -> str:
    """A Markdown table of the runs of one pinning."""
    lines = [HEADER, tuple("---" for _ in HEADER)]
    for scenario, metric in metrics_by_scenario(scenarios):
        found = {result["target"]: result for result in results if result["scenario"] == scenario}
        lines += [tuple(row(metric, label, found)) for label in found if label not in (BARE, HARNESS)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def report(results: Sequence[dict[str, Any]], scenarios: Sequence[Scenario], length: Length) -> str:
    titles = {True: "Server on one core, load and upstream on another", False: "Not pinned"}
    parts = [f"{machine()}; {length.window / 1000:g} s a scenario."]
    for pinned, title in titles.items():
        of_this = [result for result in results if result["pinned"] is pinned]
        if of_this:
            parts.append(f"### {title}\n\n{table(of_this, scenarios)}")
    return "\n\n".join(parts)


# ---- command line ----


def default_command() -> str:
    """The `antiphon` beside this Python."""
    program = shlex.quote(str(Path(sys.executable).parent / "antiphon"))
    return f"{program} serve --port {{port}} --data {{data}} --config {{config}}"


def parser() -> argparse.ArgumentParser:
    names = [scenario.name for scenario in SCENARIOS]
    made = argparse.ArgumentParser(description="Measure Antiphon; the result is a Markdown table.")
    made.add_argument("--quick", action="store_true", help="2 s a scenario: shows that it works, measures little")
    made.add_argument(
        "--only",
        action="append",
        choices=[*names, START_NAME],
        metavar="NAME",
        help=f"this scenario, can be given again; one of {', '.join(names)}, {START_NAME}",
    )
    made.add_argument("--seconds", type=float, help="length of each window (5)")
    made.add_argument("--pinning", choices=("both", "pinned", "unpinned"), default="both", help="where processes run")
    made.add_argument(
        "--monitoring",
        choices=("on", "off", "both"),
        default="on",
        help="whether each request has a log line and metrics (on); both: the stored one without them, too",
    )
    made.add_argument("--json", action="store_true", help="print all that was measured, as JSON")
    made.add_argument("--folder", type=Path, help="where data is written: on the disk to be measured (a temporary one)")
    made.add_argument(
        "--server",
        metavar="COMMAND",
        default=default_command(),
        help="another server; {port}, {data}, {config} and {upstream} are filled in",
    )
    return made


def pinnings(choice: str) -> list[Cores]:
    pinned = pinned_cores()
    if pinned is None and choice == "pinned":
        raise Unusable("this machine has one core: only --pinning unpinned is possible")
    if pinned is None:
        print("one core only: nothing is pinned", file=sys.stderr)
    return [cores for name, cores in (("pinned", pinned), ("unpinned", Cores())) if cores and choice in (name, "both")]


def run_all(arguments: argparse.Namespace, scenarios: Sequence[Scenario], length: Length) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-", dir=arguments.folder) as folder:
        programs = compile_programs(Path(folder))
        for cores in pinnings(arguments.pinning):
            bench = Bench(Path(folder), programs, length, arguments.server, cores, arguments.monitoring)
            bench.run(scenarios)
            results += bench.results
    return results


def chosen_length(arguments: argparse.Namespace) -> Length:
    length = QUICK_LENGTH if arguments.quick else FULL_LENGTH
    return Length(length.warmup, int(arguments.seconds * 1000)) if arguments.seconds else length


def main() -> int:
    arguments = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # servers are ended on the way out
    if sys.platform != "linux":
        print("the load generator needs Linux (epoll)", file=sys.stderr)
        return 2
    scenarios = [scenario for scenario in SCENARIOS if arguments.only is None or scenario.name in arguments.only]
    length = chosen_length(arguments)
    try:
        results = run_all(arguments, scenarios, length)
    except Unusable as problem:
        print(problem, file=sys.stderr)
        return 2
    raw = {"machine": machine(), "window_s": length.window / 1000, "results": results}
    print(json.dumps(raw, indent=1) if arguments.json else report(results, scenarios, length))
    complaints = [f"{r['scenario']}, {r['target']}: {r['complaint']}" for r in results if r.get("complaint")]
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
