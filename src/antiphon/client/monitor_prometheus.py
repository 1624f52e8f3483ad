"""Metrics for Prometheus: an observer that counts with `prometheus_client`, in whatever registry the program has.

    client = AsyncClient(AsyncOpenAI(), observers=PrometheusObserver())

`METRICS` is the one table of names and labels. Several clients share one observer: a registry takes a name only once.
Labels are few: of names that others choose, such as models, only so many get a label of their own, the rest is `other`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from antiphon.client.monitor import code_of
from antiphon.client.records import (
    AttemptFailed,
    Began,
    BudgetAlert,
    Cached,
    Ended,
    FirstOutput,
    Flagged,
    Optimised,
    Record,
    Resumed,
    Spent,
    Transition,
)

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["METRICS", "Metric", "PrometheusObserver"]

MOST_VALUES: Final = 200
"""Values that one label may have."""

_FIRST: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_WHOLE: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class Metric(NamedTuple):
    """One metric: its kind, what it tells, its labels, and the bounds of a histogram."""

    kind: Literal["Counter", "Gauge", "Histogram"]
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


METRICS: Final[Mapping[str, Metric]] = {
    "antiphon_client_requests_running": Metric("Gauge", "Requests that are not over.", ("model",)),
    "antiphon_client_requests_total": Metric("Counter", "Requests that are over.", ("model", "status")),
    "antiphon_client_errors_total": Metric("Counter", "Requests that ended with an error.", ("model", "error")),
    "antiphon_client_request_seconds": Metric(
        "Histogram", "From the beginning of a request to its end.", ("model",), _WHOLE
    ),
    "antiphon_client_first_output_seconds": Metric(
        "Histogram", "From the beginning of a request to its first output.", ("model",), _FIRST
    ),
    "antiphon_client_failed_attempts_total": Metric(
        "Counter", "Attempts that failed, and what was done then.", ("model", "error", "then")
    ),
    "antiphon_client_resumed_total": Metric("Counter", "Broken streams that were taken up.", ("model",)),
    "antiphon_client_tokens_total": Metric("Counter", "Tokens, as servers reported them.", ("model", "kind")),
    "antiphon_client_cost_usd_total": Metric("Counter", "US dollars, where a price is known.", ("model",)),
    "antiphon_client_unpriced_total": Metric("Counter", "Requests whose price is not known.", ("model",)),
    "antiphon_client_budget_alerts_total": Metric("Counter", "Alerts of budgets.", ("budget",)),
    "antiphon_client_cache_total": Metric("Counter", "What the response cache did.", ("model", "result")),
    "antiphon_client_tokens_saved_total": Metric("Counter", "Input tokens that were not sent.", ("model",)),
    "antiphon_client_flagged_total": Metric("Counter", "What moderators found.", ("model", "side", "action")),
    "antiphon_client_breaker_transitions_total": Metric(
        "Counter", "Changes of a circuit breaker's state.", ("upstream", "model", "state")
    ),
}

Told: TypeAlias = tuple[str, tuple[str, ...], float]
"""A metric without `antiphon_client_`, its labels, and by how much it rises, or what is observed."""


class PrometheusObserver:
    """Counts what happens. `registry`: None is that of the process. Raises ImportError without `prometheus_client`."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        import prometheus_client

        own = prometheus_client.REGISTRY if registry is None else registry
        self._metrics: dict[str, Any] = {}
        for name, metric in METRICS.items():
            bounds = {"buckets": metric.bounds} if metric.bounds else {}
            kind: Any = getattr(prometheus_client, metric.kind)
            made = kind(name.removesuffix("_total"), metric.help, metric.labels, registry=own, **bounds)
            self._metrics[name.removeprefix("antiphon_client_").removesuffix("_total")] = made
        self._values: dict[str, set[str]] = {}

    def __call__(self, record: Record) -> None:
        """Count a record."""
        for name, values, amount in _TOLD[type(record)](record):
            metric = METRICS[self._full(name)]
            labels = [self._bounded(label, value) for label, value in zip(metric.labels, values, strict=True)]
            child = self._metrics[name].labels(*labels)
            (child.observe if metric.kind == "Histogram" else child.inc)(amount)

    @staticmethod
    def _full(name: str) -> str:
        total = f"antiphon_client_{name}_total"
        return total if total in METRICS else f"antiphon_client_{name}"

    def _bounded(self, label: str, value: str) -> str:
        known = self._values.setdefault(label, set())
        if value not in known and len(known) >= MOST_VALUES:
            return "other"
        known.add(value)
        return value


def _ended(end: Ended) -> list[Told]:
    told: list[Told] = [
        ("requests_running", (end.model,), -1),
        ("requests", (end.model, end.status), 1),
        ("request_seconds", (end.model,), end.seconds),
    ]
    if end.error is not None:
        told.append(("errors", (end.model, code_of(end.error)), 1))
    if end.usage is not None and end.cache not in ("hit", "shared"):
        told.append(("tokens", (end.model, "input"), end.usage.input_tokens or 0))
        told.append(("tokens", (end.model, "output"), end.usage.output_tokens or 0))
    return told


def _spent(spent: Spent) -> list[Told]:
    if spent.cost is None:
        return [("unpriced", (spent.model,), 1)]
    return [("cost_usd", (spent.model,), float(spent.cost))]


_TOLD: Final[Mapping[type[Any], Callable[[Any], list[Told]]]] = {
    Began: lambda record: [("requests_running", (record.model,), 1)],
    Ended: _ended,
    FirstOutput: lambda record: [("first_output_seconds", (record.model,), record.seconds)],
    AttemptFailed: lambda record: [("failed_attempts", (record.model, code_of(record.error), record.then), 1)],
    Resumed: lambda record: [("resumed", (record.model,), 1)],
    Spent: _spent,
    BudgetAlert: lambda record: [("budget_alerts", (record.budget,), 1)],
    Cached: lambda record: [("cache", (record.model, record.mark), 1)],
    Optimised: lambda record: [("tokens_saved", (record.model,), record.tokens_saved)],
    Flagged: lambda record: [("flagged", (record.model, record.side, record.action), 1)],
    Transition: lambda record: [("breaker_transitions", (record.key.upstream, record.key.model, record.new), 1)],
}
"""What each kind of record adds to which metric."""
