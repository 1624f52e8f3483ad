"""The answer of a Responses upstream to one turn, over as many connections as it takes.

An upstream that keeps what it says (a stored background response) is asked for the rest when the connection breaks
off or falls silent: `GET /responses/{id}?stream=true&starting_after=n`, where n is the number of the last event that
came whole. What comes twice is known by its number and left out. Whether, when and how often is for the turn's `go_on`
to say.

Who leaves such an answer before its end has to say so: closing the connection would not stop it.
"""

from __future__ import annotations

import logging
from typing import Final, Self

from antiphon.models.responses_stream import ResponseReader
from antiphon.models.upstream import Answer, Upstream
from antiphon.turn.deltas import Delta
from antiphon.turn.input import GoOn
from antiphon.wire.errors import APIError, Unavailable, UpstreamMalformed

__all__ = ["PATH", "Source"]

_log = logging.getLogger(__name__)

PATH: Final = "/responses"


class Source:
    """Reads an answer. `with` it, as with the answer itself."""

    def __init__(self, upstream: Upstream, answer: Answer, reader: ResponseReader, *, keeps: bool, go_on: GoOn) -> None:
        """`keeps`: the upstream keeps what it says, and goes on without a listener. `go_on`: whether to follow it."""
        self._upstream = upstream
        self._answer = answer
        self._reader = reader
        self._keeps = keeps
        self._go_on = go_on
        self._failed = 0
        self._heard = 0

    async def first_read(self) -> list[Delta]:
        """The deltas of the first read; or all of them, if the upstream sent one JSON body instead of a stream."""
        if await self._answer.is_stream():
            return await self.read()
        return self._reader.whole(await self._answer.body())

    async def read(self) -> list[Delta]:
        """The deltas of one read. A connection that fails is a failure of the answer, after what was said before."""
        self._answer.begun = self._answer.begun or self._reader.spoke
        told = await _read(self._answer, self._reader)
        while self._keeps and (failure := self._break()) is not None and await self._resume(failure):
            told += await _read(self._answer, self._reader)
        return told

    def _break(self) -> APIError | None:
        """The failure of the connection, if there is one. One that ended within an event makes no sense of it."""
        failure = self._reader.failure
        return failure if self._reader.is_cut or isinstance(failure, UpstreamMalformed) else None

    async def _resume(self, failure: APIError) -> bool:
        """Connect again, behind what was heard. False if the answer is lost; the reader then has its failure."""
        point = self._reader.resume_point
        if point is None:
            return False
        response_id, number = point
        if number > self._heard:
            self._heard, self._failed = number, 0
        self._failed += 1
        while await self._go_on(failure, self._failed):
            try:
                answer = await self._upstream.open(f"{PATH}/{response_id}?stream=true&starting_after={number}", None)
            except APIError as error:
                _log.warning("a response that was cut is not continued: %s", error.brief)
                self._failed += 1
                failure = error
                continue
            self._answer.close()
            self._answer = answer
            self._answer.begun = True
            self._reader.mend()
            return True
        return False

    def finish(self) -> None:
        """All that matters was read."""
        self._answer.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._answer.close()
        if self._keeps and not self._reader.ended and (point := self._reader.resume_point) is not None:
            self._upstream.afterwards(self._stop(point[0]))

    async def _stop(self, response_id: str) -> None:
        try:
            await self._upstream.post_json(f"{PATH}/{response_id}/cancel", b"{}")
        except APIError as error:
            _log.warning("an upstream was not told that nobody listens: %s", error.brief)


async def _read(answer: Answer, reader: ResponseReader) -> list[Delta]:
    try:
        events = await answer.events()
    except APIError as error:
        reader.lose(error)
        return []
    if not events:
        reader.lose(_cut(reader))
    return reader.feed(events)


def _cut(reader: ResponseReader) -> APIError:
    if not reader.heard:
        return UpstreamMalformed("The upstream's answer is empty.")
    return Unavailable("The upstream closed the connection before its answer was complete.", code="upstream_cut")
