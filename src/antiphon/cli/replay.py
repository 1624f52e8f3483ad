"""`antiphon replay`: a stored response, told again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from antiphon.cli.options import BaseUrlOption, EventsOption, JsonOption, KeyOption, api_of, reported

READABLE: Final = (10.0, 100.0)
"""Tokens a second: slower than the first, or faster than the second, nobody wants to watch."""

USUAL: Final = 30.0
"""Tokens a second where a response does not tell how long it took."""


def replay(
    response_id: Annotated[str, typer.Argument(metavar="RESPONSE_ID", help="A stored response.")],
    *,
    base_url: BaseUrlOption = None,
    api_key: KeyOption = None,
    speed: Annotated[
        float | None,
        typer.Option(min=0.1, metavar="TOKENS", help="Tokens a second. Default: as fast as it was, within 10 to 100."),
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Do not wait between tokens.")] = False,
    events: EventsOption = False,
    json: JsonOption = False,
) -> None:
    """Tell a stored response again, at its pace. One that still runs is followed to its end.

    \b
    antiphon replay resp_123
    antiphon replay --events --fast resp_123
    antiphon replay --speed 20 resp_123
    """
    from antiphon.cli.api import OVER
    from antiphon.cli.show import conclude, play, show_of

    api = api_of(base_url, api_key)
    with reported():
        response = api.response(response_id)
        running = response.get("status") not in OVER
        wait = None if fast or running else pace(speed or speed_of(response), time.sleep)
        show = show_of(events=events, json=json)
        play(api.follow(response_id), show, wait)
        response = api.response(response_id)
        show.end(response)
        raise typer.Exit(conclude(response))


def speed_of(response: dict[str, Any]) -> float:
    """The tokens a second at which a response was written, as far as it tells: its times are whole seconds."""
    match response:
        case {"created_at": int(begin), "completed_at": int(end), "usage": {"output_tokens": int(tokens)}}:
            low, high = READABLE
            return min(high, max(low, tokens / max(1, end - begin)))
    return USUAL


def pace(speed: float, sleep: Callable[[float], None]) -> Callable[[dict[str, Any]], None]:
    """Waits before each delta as long as a token takes."""

    def wait(event: dict[str, Any]) -> None:
        if isinstance(event.get("delta"), str):
            sleep(1 / speed)

    return wait
