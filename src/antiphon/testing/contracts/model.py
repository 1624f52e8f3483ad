"""What every model does with an ordinary turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from itertools import count
from typing import TypeAlias, get_args

from antiphon.ports import Model
from antiphon.turn import settings
from antiphon.turn.deltas import Delta, Finished, Text
from antiphon.turn.input import Turn, effective
from antiphon.turn.machine import Machine
from antiphon.wire.request import CreateResponse

Closed: TypeAlias = Callable[[], Awaitable[None]]


def ordinary_turn(text: str = "Say something.") -> Turn:
    """A turn of one user message."""
    request = CreateResponse(model="model", input=text)
    numbers = count()
    items = effective(request.input or "", lambda prefix: f"{prefix}_{next(numbers)}")
    return Turn(request=request, items=items, response_id="resp_" + "0" * 40)


class ModelContract:
    """Fixtures: `model`, which answers each ordinary turn with some words, `hanging`, and `closed`.

    `hanging` says a few words and then nothing for ever. `closed` is awaited when its reader has left: it returns when
    the upstream of `hanging` has been closed, and fails if it is not.
    """

    async def test_a_model_says_what_it_is(self, model: Model) -> None:
        assert model.name
        assert isinstance(model.continues, bool)
        assert isinstance(model.relays, bool)
        assert isinstance(model.pass_through, frozenset)
        assert model.accept(ordinary_turn().request) == ()
        await model.aclose()

    async def test_a_turn_is_words_and_ends_with_one_finished(self, model: Model) -> None:
        batches = await _all_of(model)
        said = [delta for batch in batches for delta in batch]
        assert all(isinstance(delta, get_args(Delta)) for delta in said)
        assert any(isinstance(delta, Text) for delta in said)
        assert [isinstance(delta, Finished) for delta in said].index(True) == len(said) - 1
        await model.aclose()

    async def test_the_machine_can_tell_a_turn(self, model: Model) -> None:
        turn = ordinary_turn()
        numbers = count()
        machine = Machine(lambda prefix: f"{prefix}_{next(numbers)}")
        machine.create(settings.opened(turn.request, response_id=turn.response_id, model="model", created_at=0))
        machine.begin()
        for batch in await _all_of(model):
            machine.feed(batch)
        machine.finish(1)
        assert machine.fold.response().status == "completed"
        assert not machine.fold.open
        assert machine.usage is not None
        await model.aclose()

    async def test_two_turns_at_a_time_do_not_mix(self, model: Model) -> None:
        alone = _words(await _all_of(model))
        together = await asyncio.gather(_all_of(model), _all_of(model))
        assert [_words(batches) for batches in together] == [alone, alone]
        await model.aclose()

    async def test_a_reader_that_stops_closes_the_upstream(self, hanging: Model, closed: Closed) -> None:
        async with aclosing(hanging.stream(ordinary_turn())) as batches:
            await anext(batches)
        await closed()
        await hanging.aclose()

    async def test_a_reader_that_is_cancelled_closes_the_upstream(self, hanging: Model, closed: Closed) -> None:
        begun = asyncio.Event()

        async def read_on() -> None:
            async with aclosing(hanging.stream(ordinary_turn())) as batches:
                async for _ in batches:
                    begun.set()

        reading = asyncio.create_task(read_on())
        await begun.wait()
        reading.cancel()
        await asyncio.wait((reading,))
        await closed()
        await hanging.aclose()

    async def test_a_stream_that_nobody_began_to_read_asks_nothing(self, model: Model) -> None:
        await model.stream(ordinary_turn()).aclose()
        await model.aclose()

    async def test_tokens_are_counted_and_more_words_are_not_fewer_tokens(self, model: Model) -> None:
        one = await model.count(ordinary_turn("Hello."))
        many = await model.count(ordinary_turn("Hello. " * 50))
        assert 0 < one <= many
        await model.aclose()


async def _all_of(model: Model) -> list[list[Delta]]:
    async with aclosing(model.stream(ordinary_turn())) as batches:
        return [batch async for batch in batches]


def _words(batches: list[list[Delta]]) -> str:
    return "".join(delta.text for batch in batches for delta in batch if isinstance(delta, Text))
