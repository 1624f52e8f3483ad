"""Metrics: counted here in plain dictionaries, told in Prometheus' words when somebody asks.

`METRICS` is the one table of names and labels; `docs/monitoring.md` has a row for each. Requests and responses are
counted when they are over. What has a state (streams, queues, breakers) is read when it is asked for: `Metrics.read`
says where.

**Labels are few.** A model that is not configured, which `*` answers, has the label `*`, here and at its upstream.
Codes, and all else that others choose, may have as many values as fit into `MOST_SERIES`, and then are `other`.

`prometheus_client` writes the format, and tells of the process. It is imported with the first question (50 ms).
"""

from __future__ import annotations

import platform
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, get_args

import antiphon
from antiphon.engine.upstreams import OTHERS
from antiphon.observe.lag import Lag
from antiphon.policy.breaker import Key, State
from antiphon.turn.report import Answered, Began, Report
from antiphon.turn.usage import without

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric as Family

    from antiphon.engine.engine import Engine
    from antiphon.engine.upstreams import Upstreams

__all__ = ["METRICS", "Labels", "Metric", "Metrics", "Source"]

Labels: TypeAlias = tuple[str, ...]
Source: TypeAlias = Callable[[], Mapping[Labels, float]]
"""Gives the values of a gauge by their labels, when it is asked."""

MOST_SERIES: Final = 500
"""Combinations of labels that one metric may have."""

LONGEST: Final = 128
"""Characters of a label: some are names that clients chose."""

_FIRST: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_EACH: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_WHOLE: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class Metric(NamedTuple):
    """One metric: its kind, what it tells, its labels, and the bounds of a histogram."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


METRICS: Final[Mapping[str, Metric]] = {
    "antiphon_build_info": Metric("gauge", "Always 1.", ("version", "python")),
    "antiphon_http_requests_total": Metric(
        "counter", "HTTP requests that were answered.", ("method", "route", "status")
    ),
    "antiphon_requests_total": Metric(
        "counter", "Responses, and other work of models, that are over.", ("operation", "model", "outcome")
    ),
    "antiphon_errors_total": Metric("counter", "Errors that clients were told of.", ("code", "class")),
    "antiphon_time_to_first_token_seconds": Metric(
        "histogram", "From the beginning of a response to its first output.", ("model",), _FIRST
    ),
    "antiphon_time_per_output_token_seconds": Metric(
        "histogram", "What each output token took after the first.", ("model",), _EACH
    ),
    "antiphon_request_seconds": Metric(
        "histogram", "From the beginning of a response, or other work, to its end.", ("operation", "model"), _WHOLE
    ),
    "antiphon_tokens_total": Metric("counter", "Tokens, as upstreams reported them.", ("model", "kind")),
    "antiphon_tokens_saved_total": Metric("counter", "Input tokens that were left out.", ("model",)),
    "antiphon_cost_usd_total": Metric("counter", "US dollars, where a price is known.", ("model",)),
    "antiphon_cache_total": Metric("counter", "What the response cache did.", ("model", "result")),
    "antiphon_cache_tokens_saved_total": Metric(
        "counter", "Tokens that the response cache answered with.", ("model", "kind")
    ),
    "antiphon_cache_usd_saved_total": Metric(
        "counter", "US dollars that they would have cost, where a price is known.", ("model",)
    ),
    "antiphon_attempts_total": Metric(
        "counter", "Requests to upstreams that are over.", ("upstream", "model", "outcome")
    ),
    "antiphon_retries_total": Metric("counter", "Attempts at the upstream that had just failed.", ("model",)),
    "antiphon_fallbacks_total": Metric("counter", "Attempts at another upstream.", ("model",)),
    "antiphon_breaker_state": Metric(
        "gauge", "Circuit breakers that are in this state.", ("upstream", "model", "state")
    ),
    "antiphon_breaker_transitions_total": Metric(
        "counter", "Changes of a circuit breaker's state.", ("upstream", "model", "state")
    ),
    "antiphon_queue_length": Metric("gauge", "Responses that wait.", ("queue",)),
    "antiphon_responses_running": Metric("gauge", "Responses that are being made.", ("kind",)),
    "antiphon_streams_open": Metric("gauge", "Clients that read a stream."),
    "antiphon_journal_backlog": Metric("gauge", "Logs with words that no commit has taken up yet."),
    "antiphon_event_loop_lag_seconds": Metric("gauge", "How late the event loop was, at worst, since the last look."),
}

_METHODS: Final = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"))


class _Histogram:
    """How many values fell between which bounds, and their sum."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Bounds as text, and how many values are not above them."""
        bounds = [*map(str, self._bounds), "+Inf"]
        return list(zip(bounds, map(float, accumulate(self._counts)), strict=True))


class Metrics:
    """Counts. Implements `antiphon.ports.Observer`; `prometheus_client` sees in it a collector."""

    def __init__(self, models: Collection[str] = ()) -> None:
        """`models` are the names that have a label of their own."""
        self._models = frozenset(models)
        self._configured: Collection[Key] = ()
        self._counts: dict[str, dict[Labels, float]] = {}
        self._histograms: dict[str, dict[Labels, _Histogram]] = {}
        self._sources: dict[str, list[Source]] = {}
        self._registry: CollectorRegistry | None = None
        self.read("antiphon_build_info", lambda: {(antiphon.__version__, platform.python_version()): 1.0})

    # What is counted

    def began(self, work: Began) -> None:
        """Nothing is counted yet: what runs is read from the engine."""

    def ended(self, report: Report) -> None:
        """Count a response, or other work."""
        model = self.label_of(report.model)
        self.count("antiphon_requests_total", (report.operation, model, report.outcome))
        self._observe("antiphon_request_seconds", (report.operation, model), report.took)
        self._observe("antiphon_time_to_first_token_seconds", (model,), report.first_token)
        self._observe("antiphon_time_per_output_token_seconds", (model,), report.token_time)
        if report.error_class is not None and not report.refused:
            self.count("antiphon_errors_total", (report.error or "", report.error_class))
        if report.cache:
            self.count("antiphon_cache_total", (model, report.cache))
        self._count_tokens(model, report)
        self._count_attempts(model, report)

    def answered(self, request: Answered) -> None:
        """Count an HTTP request."""
        method = request.method if request.method in _METHODS else "other"
        status = "left" if request.status is None else str(request.status)
        self.count("antiphon_http_requests_total", (method, request.route, status))
        if request.error_class is not None:
            self.count("antiphon_errors_total", (request.error or "", request.error_class))

    def label_of(self, model: str) -> str:
        """The label of a model: its name if it is configured, else `*`."""
        return model if model in self._models else OTHERS

    def count(self, name: str, labels: Labels, by: float = 1) -> None:
        """Add to a counter. Called when something is over or changes, never for a delta."""
        series = self._counts.setdefault(name, {})
        labels = _within(series, labels)
        series[labels] = series.get(labels, 0.0) + by

    def _observe(self, name: str, labels: Labels, value: float | None) -> None:
        if value is None:
            return
        series = self._histograms.setdefault(name, {})
        labels = _within(series, labels)
        if labels not in series:
            series[labels] = _Histogram(METRICS[name].bounds)
        series[labels].observe(value)

    def _count_tokens(self, model: str, report: Report) -> None:
        unpaid = report.unpaid
        if unpaid is not None:
            self.count("antiphon_cache_tokens_saved_total", (model, "input"), unpaid.input_tokens)
            self.count("antiphon_cache_tokens_saved_total", (model, "output"), unpaid.output_tokens)
        if report.saved is not None:
            self.count("antiphon_cache_usd_saved_total", (model,), float(report.saved))
        usage = report.usage if unpaid is None or report.usage is None else without(report.usage, unpaid)
        if usage is not None:
            self.count("antiphon_tokens_total", (model, "input"), usage.input_tokens)
            self.count("antiphon_tokens_total", (model, "cached"), usage.input_tokens_details.cached_tokens)
            self.count("antiphon_tokens_total", (model, "output"), usage.output_tokens)
            self.count("antiphon_tokens_total", (model, "reasoning"), usage.output_tokens_details.reasoning_tokens)
        if report.tokens_saved:
            self.count("antiphon_tokens_saved_total", (model,), report.tokens_saved)
        if report.cost is not None:
            self.count("antiphon_cost_usd_total", (model,), float(report.cost))

    def _count_attempts(self, model: str, report: Report) -> None:
        for attempt in report.attempts:
            outcome = attempt.outcome or "cancelled"
            is_known = model != OTHERS or Key(attempt.upstream, attempt.model) in self._configured
            name = attempt.model if is_known else OTHERS
            self.count("antiphon_attempts_total", (attempt.upstream, name, outcome))
        if report.retries:
            self.count("antiphon_retries_total", (model,), report.retries)
        if report.fallbacks:
            self.count("antiphon_fallbacks_total", (model,), report.fallbacks)

    # What is read

    def read(self, name: str, source: Source) -> None:
        """Read a gauge there when it is asked for; several sources are put together."""
        self._sources.setdefault(name, []).append(source)

    def watch(self, engine: Engine) -> None:
        """Read what an engine has under way."""
        lag = Lag(engine.clock)
        self.read("antiphon_responses_running", lambda: _running(engine))
        self.read("antiphon_queue_length", lambda: {("background",): float(engine.worker.waiting)})
        self.read("antiphon_journal_backlog", lambda: {(): float(engine.journal.backlog)})
        self.read("antiphon_event_loop_lag_seconds", lambda: {(): lag.take()})

    def watch_upstreams(self, upstreams: Upstreams) -> None:
        """Read how breakers and queues stand, and count what becomes of breakers."""
        self.read("antiphon_breaker_state", lambda: _breakers(upstreams))
        self.read("antiphon_queue_length", lambda: {(name,): float(waiting) for name, waiting in upstreams.waiting()})
        self._configured = upstreams.configured
        upstreams.on_transition = lambda change: self.count(
            "antiphon_breaker_transitions_total", (change.key.upstream, upstreams.label_of(change.key), change.new)
        )

    # What is told

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics, and their media type: the text format, or OpenMetrics where it is asked for."""
        from prometheus_client.exposition import choose_encoder

        encode, kind = choose_encoder(accept)
        text: bytes = encode(self._registered())
        return text, kind

    def _registered(self) -> CollectorRegistry:
        if self._registry is None:
            from prometheus_client import CollectorRegistry, ProcessCollector

            self._registry = CollectorRegistry()
            self._registry.register(self)
            ProcessCollector(registry=self._registry)
        return self._registry

    def collect(self) -> Iterator[Family]:
        """The metrics as `prometheus_client` has them."""
        for name, metric in METRICS.items():
            yield self._family(name, metric)

    def describe(self) -> list[Family]:
        """Nothing: the registry need not ask all sources to learn the names."""
        return []

    def _family(self, name: str, metric: Metric) -> Family:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        if metric.kind == "histogram":
            histogram = HistogramMetricFamily(name, metric.help, labels=metric.labels)
            for labels, values in self._histograms.get(name, {}).items():
                histogram.add_metric(labels, values.buckets(), values.sum)
            return histogram
        made: Any = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family: Family = made(name, metric.help, labels=metric.labels)
        for labels, value in self._values(name).items():
            family.add_metric(labels, value)  # type: ignore[attr-defined]  # each of the two kinds has it
        return family

    def _values(self, name: str) -> dict[Labels, float]:
        values = dict(self._counts.get(name, {}))
        for source in self._sources.get(name, ()):
            read = islice(source().items(), MOST_SERIES - len(values))
            values |= {tuple(label[:LONGEST] for label in labels): value for labels, value in read}
        return values


def _breakers(upstreams: Upstreams) -> dict[Labels, float]:
    counts: dict[Labels, float] = {}
    for key, breaker in upstreams.breakers.items():
        for state in get_args(State):
            labels = (key.upstream, upstreams.label_of(key), state)
            counts[labels] = counts.get(labels, 0.0) + (breaker.state == state)
    return counts


def _within(series: Collection[Labels], labels: Labels) -> Labels:
    """The labels, or `other` for all of them where there are too many already."""
    if labels in series:
        return labels
    if len(series) < MOST_SERIES:
        return tuple(label[:LONGEST] for label in labels)
    return ("other",) * len(labels)


def _running(engine: Engine) -> dict[Labels, float]:
    background = sum(run.turn.request.background for run in engine.runs.values())
    return {("background",): float(background), ("foreground",): float(len(engine.runs) - background)}
