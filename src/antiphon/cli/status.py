"""`antiphon status`: how a running server is doing, from its metrics."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit, urlunsplit

import typer

from antiphon.cli.options import BaseUrlOption, JsonOption, KeyOption, api_of, reported
from antiphon.cli.terminal import dim, fail, out, plain, strong, table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from antiphon.cli.api import Api
    from antiphon.cli.figures import Figures, Model, Upstream


def status(
    *,
    base_url: BaseUrlOption = None,
    api_key: KeyOption = None,
    once: Annotated[bool, typer.Option("--once", help="Show the figures once, and end.")] = False,
    every: Annotated[float, typer.Option(min=0.2, metavar="SECONDS", help="How often to look. Default: 2.")] = 2.0,
    json: JsonOption = False,
) -> None:
    """Show how a running server is doing: requests, times, tokens, upstreams, queues.

    On a terminal until Ctrl-C; else, and with --once or --json, one look.

    \b
    antiphon status
    antiphon status --once
    antiphon status --json
    """
    import msgspec

    api = _root_of(api_of(base_url, api_key))
    with reported():
        first = _look(api)
        if json:
            out(msgspec.json.format(msgspec.json.encode(first), indent=2).decode())
        elif once or not sys.stdout.isatty():
            out(plain(view(first, time.time())))
        else:
            _watch(api, first, every)


def _root_of(api: Api) -> Api:
    """Metrics are beside `/v1`, not below it."""
    from antiphon.cli.api import Address, Api

    parts = urlsplit(api.address.base_url)
    path = parts.path.rstrip("/").removesuffix("/v1")
    return Api(Address(urlunsplit(parts._replace(path=path)), api.address.api_key))


def _look(api: Api) -> Figures:
    from antiphon.cli.figures import figures_of

    body = api.get("/metrics")
    try:
        return figures_of(body.decode())
    except ValueError:
        fail(f"{api.address.base_url}/metrics tells nothing of Antiphon")


def _watch(api: Api, first: Figures, every: float) -> None:
    """Look again and again, on a screen of its own."""
    from rich.live import Live
    from rich.text import Text

    def shown(figures: Figures, rate: str = "") -> Text:
        return Text.from_ansi(view(figures, time.time(), rate), no_wrap=True, overflow="ellipsis")

    with Live(shown(first), screen=True, auto_refresh=False) as live:
        before = first
        while True:
            time.sleep(every)
            now = _look(api)
            live.update(shown(now, rates(before, now, every)), refresh=True)
            before = now


# Views


def view(figures: Figures, now: float, rate: str = "") -> str:
    """One look, as text; `now` is Unix time."""
    parts = [_head(figures, now, rate), _under_way(figures)]
    if figures.models:
        parts.append(table([_MODEL_HEAD, *map(_model_row, figures.models)]))
    if figures.upstreams:
        parts.append(table([_UPSTREAM_HEAD, *map(_upstream_row, figures.upstreams)]))
    if figures.errors:
        parts.append(table([("ERROR", "TIMES"), *_counted(figures.errors.items())]))
    return "\n\n".join(parts)


def rates(before: Figures, now: Figures, seconds: float) -> str:
    """What came between two looks, a second."""
    requests = sum(model.requests for model in now.models) - sum(model.requests for model in before.models)
    tokens = sum(model.output_tokens for model in now.models) - sum(model.output_tokens for model in before.models)
    return f"{requests / seconds:.1f} requests/s  {tokens / seconds:.0f} tokens/s"


def _head(figures: Figures, now: float, rate: str) -> str:
    facts = [strong(f"Antiphon {figures.version}")]
    if figures.started is not None:
        facts.append(f"up {_span(now - figures.started)}")
    if figures.memory_bytes is not None:
        facts.append(f"{figures.memory_bytes / 2**20:.0f} MB")
    return dim("  ·  ").join([*facts, *filter(None, [rate])])


def _under_way(figures: Figures) -> str:
    waiting = ", ".join(f"{count} {queue}" for queue, count in figures.queues.items() if count) or "0"
    cache = ", ".join(f"{count} {result}" for result, count in figures.cache.items()) or "–"
    if figures.cache_tokens_saved:
        cache += f"; saved {figures.cache_tokens_saved} tokens, {figures.cache_usd_saved:.4f} USD"
    rows = [
        ("running", f"{figures.foreground} foreground, {figures.background} background"),
        ("waiting", waiting),
        ("streams open", str(figures.streams)),
        ("journal backlog", str(figures.journal_backlog)),
        ("event loop lag", f"{figures.event_loop_lag * 1000:.0f} ms"),
        ("retries, fallbacks", f"{figures.retries}, {figures.fallbacks}"),
        ("cache", cache),
    ]
    return "\n".join(f"{dim(name.ljust(20))}{value}" for name, value in rows)


_MODEL_HEAD = ("MODEL", "WORK", "REQUESTS", "FAILED", "INPUT", "OUTPUT", "FIRST P50", "P95", "A TOKEN", "USD")
_UPSTREAM_HEAD = ("UPSTREAM", "MODEL", "ATTEMPTS", "FAILED", "BREAKER")


def _model_row(model: Model) -> tuple[str, ...]:
    return (
        model.model,
        model.operation,
        f"{model.requests:,}",
        f"{model.failed:,}",
        f"{model.input_tokens:,}",
        f"{model.output_tokens:,}",
        _ms(model.first_token_p50),
        _ms(model.first_token_p95),
        _ms(model.per_token),
        "–" if model.cost_usd is None else f"{model.cost_usd:.4f}",
    )


def _upstream_row(upstream: Upstream) -> tuple[str, ...]:
    figures = (f"{upstream.attempts:,}", f"{upstream.failed:,}", upstream.breaker or "–")
    return upstream.upstream or "–", upstream.model, *figures


def _counted(counts: Iterable[tuple[str, int]]) -> list[tuple[str, ...]]:
    return [(name or "–", f"{count:,}") for name, count in sorted(counts, key=lambda pair: -pair[1])]


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1000:,.3g} ms" if seconds < 1 else f"{seconds:,.1f} s"


def _span(seconds: float) -> str:
    minutes, hours = int(seconds) // 60, int(seconds) // 3600
    if hours >= 48:
        return f"{hours // 24} days"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min" if minutes else f"{int(seconds)} s"
