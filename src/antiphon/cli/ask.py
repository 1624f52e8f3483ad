"""`antiphon ask`: one question, and its answer as it comes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from antiphon.cli.options import BaseUrlOption, EventsOption, JsonOption, KeyOption, api_of, first, reported
from antiphon.cli.terminal import WRONG, fail, note

if TYPE_CHECKING:
    from antiphon.cli.api import Api
    from antiphon.cli.show import Show


def ask(
    question: Annotated[str | None, typer.Argument(help="The question. What is piped in comes after it.")] = None,
    *,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="The model. Default: the first that the server lists.")
    ] = None,
    base_url: BaseUrlOption = None,
    api_key: KeyOption = None,
    previous: Annotated[
        str | None, typer.Option(metavar="RESPONSE_ID", help="Go on from this response: it is the context.")
    ] = None,
    background: Annotated[
        bool, typer.Option("--background", help="Let it run on the server; a broken connection is taken up again.")
    ] = False,
    instructions: Annotated[str | None, typer.Option(help="How the model is to answer.")] = None,
    events: EventsOption = False,
    json: JsonOption = False,
) -> None:
    """Ask a model; the answer comes as it is written.

    \b
    antiphon ask "What is a fugue?"
    antiphon ask --events "What is a fugue?"
    git diff | antiphon ask "Write a commit message for this change."
    antiphon ask --previous resp_123 "Shorter, please."
    antiphon ask --background --model gpt-5 "Plan a week in Rome."
    """
    from antiphon.cli.show import conclude, show_of

    text = _whole(question)
    api = api_of(base_url, api_key)
    with reported():
        body: dict[str, Any] = {"model": model or _first_model(api), "input": text}
        body |= {"instructions": instructions} if instructions else {}
        body |= {"previous_response_id": previous} if previous else {}
        body |= {"background": True} if background else {}
        show = show_of(events=events, json=json)
        response = _played(api, body, show)
        show.end(response)
        raise typer.Exit(conclude(response))


def _whole(question: str | None) -> str:
    """The question, and after it what was piped in."""
    piped = "" if sys.stdin.isatty() else sys.stdin.buffer.read().decode(errors="replace").strip()
    text = "\n\n".join(filter(None, (question, piped)))
    if not text:
        fail('there is nothing to ask. Try: antiphon ask "What is a fugue?"', WRONG)
    return text


def _first_model(api: Api) -> str:
    """The first model of the server's list: the one that its configuration names first."""
    name = first([model.id for model in api.models()])
    note(f"model: {name}")
    return name


class _Watched:
    """Events as they come, and the id of their response, for who interrupts them."""

    def __init__(self, events: Iterable[dict[str, Any]]) -> None:
        self.response_id = ""
        self._events = events

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for event in self._events:
            if isinstance(response := event.get("response"), dict):
                self.response_id = response.get("id", "")
            yield event


def _played(api: Api, body: dict[str, Any], show: Show) -> dict[str, Any]:
    """Create a response, show it as it comes, and give its last state."""
    from antiphon.cli.show import play

    events = _Watched(api.create(body))
    try:
        response = play(events, show)
    except KeyboardInterrupt:
        if "background" in body and events.response_id:
            note(f"\n{events.response_id} goes on. Come back to it with: antiphon replay {events.response_id}")
        raise
    if response is None:
        fail("the answer ended before it began")
    return api.response(response["id"]) if "background" in body else response  # a cancel has no event
