"""The figures of `antiphon status`, read from the metrics of a running server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

import msgspec

__all__ = ["Figures", "Model", "Upstream", "figures_of"]

Series: TypeAlias = dict[str, list[tuple[Mapping[str, str], float]]]
"""The samples of each metric: their labels and values."""


class Model(msgspec.Struct, kw_only=True):
    """What became of the requests for one model. Times are in seconds; None where nothing is known."""

    model: str
    operation: str
    requests: int = 0
    failed: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    first_token_p50: float | None = None
    first_token_p95: float | None = None
    per_token: float | None = None
    cost_usd: float | None = None


class Upstream(msgspec.Struct, kw_only=True):
    """What became of the attempts at one upstream."""

    upstream: str
    model: str
    attempts: int = 0
    failed: int = 0
    breaker: str | None = None


class Figures(msgspec.Struct, kw_only=True):
    """One look at a server."""

    version: str = ""
    started: float | None = None
    """Unix time."""
    memory_bytes: int | None = None
    foreground: int = 0
    background: int = 0
    streams: int = 0
    queues: dict[str, int] = {}
    journal_backlog: int = 0
    event_loop_lag: float = 0.0
    retries: int = 0
    fallbacks: int = 0
    cache: dict[str, int] = {}
    cache_tokens_saved: int = 0
    cache_usd_saved: float = 0.0
    errors: dict[str, int] = {}
    """How often clients were told of each code."""
    models: list[Model] = []
    upstreams: list[Upstream] = []


def figures_of(text: str) -> Figures:
    """The figures in an answer of GET /metrics. Raises ValueError for a text that is none."""
    found = _Found(text)
    running = found.by("antiphon_responses_running", "kind")
    return Figures(
        version=next((labels["version"] for labels, _ in found.of("antiphon_build_info")), ""),
        started=found.one("process_start_time_seconds"),
        memory_bytes=_whole(found.one("process_resident_memory_bytes")),
        foreground=running.get("foreground", 0),
        background=running.get("background", 0),
        streams=int(found.total("antiphon_streams_open")),
        queues=found.by("antiphon_queue_length", "queue"),
        journal_backlog=int(found.total("antiphon_journal_backlog")),
        event_loop_lag=found.total("antiphon_event_loop_lag_seconds"),
        retries=int(found.total("antiphon_retries_total")),
        fallbacks=int(found.total("antiphon_fallbacks_total")),
        cache=found.by("antiphon_cache_total", "result"),
        cache_tokens_saved=int(found.total("antiphon_cache_tokens_saved_total")),
        cache_usd_saved=found.total("antiphon_cache_usd_saved_total"),
        errors=found.by("antiphon_errors_total", "code"),
        models=list(_models(found)),
        upstreams=list(_upstreams(found)),
    )


class _Found:
    """The samples of a text, by metric."""

    def __init__(self, text: str) -> None:
        from prometheus_client.parser import text_string_to_metric_families

        self._series: Series = defaultdict(list)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                self._series[sample.name].append((sample.labels, sample.value))
        if "antiphon_build_info" not in self._series:
            raise ValueError("these are no metrics of Antiphon")

    def of(self, name: str, **wanted: str) -> list[tuple[Mapping[str, str], float]]:
        """The samples of a metric that have these labels."""
        return [
            (labels, value)
            for labels, value in self._series.get(name, ())
            if all(labels.get(label) == known for label, known in wanted.items())
        ]

    def one(self, name: str) -> float | None:
        """The value of a metric without labels."""
        return next((value for _, value in self.of(name)), None)

    def total(self, name: str, **wanted: str) -> float:
        """The sum of its samples."""
        return sum(value for _, value in self.of(name, **wanted))

    def by(self, name: str, label: str, **wanted: str) -> dict[str, int]:
        """The sums for each value of a label."""
        sums: dict[str, int] = defaultdict(int)
        for labels, value in self.of(name, **wanted):
            sums[labels[label]] += int(value)
        return dict(sums)

    def quantile(self, name: str, share: float, **wanted: str) -> float | None:
        """Below which value this share of a histogram is, taken as even within a bucket."""
        buckets = sorted((float(labels["le"]), value) for labels, value in self.of(f"{name}_bucket", **wanted))
        rank = share * buckets[-1][1] if buckets else 0.0
        if not rank:
            return None
        low, below = 0.0, 0.0
        for bound, upto in buckets:
            if upto >= rank:
                return low if bound == _ENDLESS else low + (bound - low) * (rank - below) / (upto - below)
            low, below = bound, upto
        return low

    def mean(self, name: str, **wanted: str) -> float | None:
        """The mean of a histogram."""
        count = self.total(f"{name}_count", **wanted)
        return self.total(f"{name}_sum", **wanted) / count if count else None


_ENDLESS: Final = float("inf")


def _models(found: _Found) -> Iterator[Model]:
    names = {(labels["model"], labels["operation"]) for labels, _ in found.of("antiphon_requests_total")}
    for model, operation in sorted(names):
        outcomes = found.by("antiphon_requests_total", "outcome", model=model, operation=operation)
        tokens = found.by("antiphon_tokens_total", "kind", model=model)
        costs = found.of("antiphon_cost_usd_total", model=model)
        yield Model(
            model=model,
            operation=operation,
            requests=sum(outcomes.values()),
            failed=outcomes.get("failed", 0),
            input_tokens=tokens.get("input", 0),
            cached_tokens=tokens.get("cached", 0),
            output_tokens=tokens.get("output", 0),
            first_token_p50=found.quantile("antiphon_time_to_first_token_seconds", 0.5, model=model),
            first_token_p95=found.quantile("antiphon_time_to_first_token_seconds", 0.95, model=model),
            per_token=found.mean("antiphon_time_per_output_token_seconds", model=model),
            cost_usd=sum(value for _, value in costs) if costs else None,
        )


def _upstreams(found: _Found) -> Iterator[Upstream]:
    states = {
        (labels["upstream"], labels["model"]): labels["state"]
        for labels, value in found.of("antiphon_breaker_state")
        if value
    }
    tried = {(labels["upstream"], labels["model"]) for labels, _ in found.of("antiphon_attempts_total")}
    for upstream, model in sorted(tried | states.keys()):
        outcomes = found.by("antiphon_attempts_total", "outcome", upstream=upstream, model=model)
        yield Upstream(
            upstream=upstream,
            model=model,
            attempts=sum(outcomes.values()),
            failed=outcomes.get("failed", 0),
            breaker=states.get((upstream, model)),
        )


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
