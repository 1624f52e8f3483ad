"""What every store does: it keeps what it was given, all of a batch or nothing, also over a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import msgspec
import pytest

from antiphon.ports import Batch, Begin, Change, Chunk, Clock, End, Fact, Record, Store, Stored
from antiphon.testing.clock import FakeClock
from antiphon.wire.errors import Unavailable

OpenStore: TypeAlias = Callable[[Clock], Store]
"""Makes a store that is not yet started, each time over the same data. Time is the clock's."""

PROJECT = "project"


def record(key: int, *, project: str = PROJECT, previous: int | None = None, background: bool = False) -> Record:
    """A response as its creation writes it; the id follows from the key."""
    return Record(
        key=key,
        id=f"resp_{key}",
        project=project,
        created_at=1_800_000_000 + key,
        status="queued" if background else "in_progress",
        background=background,
        model="model",
        previous=None if previous is None else f"resp_{previous}",
        request=b'{"model":"model"}',
        input=b"[]",
    )


def log_of(first: int, upto: int, *, key: int = 1) -> bytes:
    """The frames `first` to `upto` (exclusive) of a log; each says whose it is and which."""
    return b"".join(b'event: e\ndata: {"key":%d,"sequence_number":%d}\n\n' % (key, n) for n in range(first, upto))


def chunk(first: int, upto: int, *, key: int = 1, fence: int = 0) -> Chunk:
    """A chunk of a log."""
    return Chunk(key, first, log_of(first, upto, key=key), fence)


def end(key: int = 1, *item_ids: str) -> End:
    """The end of a response."""
    return End(key, "completed", b'{"status":"completed"}', "", list(item_ids))


@asynccontextmanager
async def opened(open_store: OpenStore, clock: Clock | None = None) -> AsyncIterator[Store]:
    """A store that is started, and closed at the end of the block."""
    store = open_store(clock or FakeClock())
    await store.start()
    try:
        yield store
    finally:
        await store.aclose()


async def whole_log(store: Store, key: int = 1) -> bytes:
    """All that can be read of a log."""
    data = b""
    while more := await store.read(key, data.count(b"\n\n")):
        data += more
    return data


class StoreContract:
    """Fixture: `open_store`."""

    # Responses

    async def test_a_response_is_found_as_it_began(self, open_store: OpenStore) -> None:
        begun = record(1, previous=7, background=True)
        async with opened(open_store) as store:
            await store.write(Batch(changes=[Begin(begun)]))
            assert await store.find(PROJECT, "resp_1") == Stored(**msgspec.structs.asdict(begun))

    async def test_a_foreign_response_is_an_unknown_one(self, open_store: OpenStore) -> None:
        async with opened(open_store) as store:
            await store.write(Batch(changes=[Begin(record(1)), end(1, "item_x")], stretches=[chunk(0, 2)]))
            assert await store.find("other", "resp_1") is None
            assert await store.chain("other", "resp_1") == []
            assert await store.owner_of("other", "item_x") is None
            assert not await store.delete("other", "resp_1")
            assert await store.find(PROJECT, "resp_unknown") is None
            assert await store.find(PROJECT, "resp_1") is not None

    async def test_an_end_is_what_every_later_reader_gets(self, open_store: OpenStore) -> None:
        async with opened(open_store) as store:
            await store.write(Batch(changes=[Begin(record(1)), Begin(record(2))]))
            await store.write(Batch(changes=[End(1, "completed", b'{"a":1}', "x y", [])]))
            assert [stored.id for stored in await store.unfinished()] == ["resp_2"]
        async with opened(open_store) as store:
            stored = await store.find(PROJECT, "resp_1")
            assert stored is not None
            assert (stored.status, stored.response, stored.gated) == ("completed", b'{"a":1}', "x y")
            assert [stored.id for stored in await store.unfinished()] == ["resp_2"]

    async def test_the_first_free_key_is_beyond_all_keys(self, open_store: OpenStore) -> None:
        store = open_store(FakeClock())
        assert await store.start() == 1
        await store.write(Batch(changes=[Begin(record(1)), Begin(record(7))]))
        await store.aclose()
        store = open_store(FakeClock())
        assert await store.start() == 8
        await store.aclose()

    # Chains and items

    async def test_a_chain_is_oldest_first_and_ends_where_a_response_was_deleted(self, open_store: OpenStore) -> None:
        begun: list[Change] = [Begin(record(1)), Begin(record(2, previous=1)), Begin(record(3, previous=2))]
        async with opened(open_store) as store:
            await store.write(Batch(changes=[*begun, end(1), end(2)]))
            assert [stored.id for stored in await store.chain(PROJECT, "resp_3")] == ["resp_1", "resp_2", "resp_3"]
            assert [stored.id for stored in await store.chain(PROJECT, "resp_1")] == ["resp_1"]
            assert await store.chain(PROJECT, "resp_9") == []
            await store.delete(PROJECT, "resp_1")
            assert [stored.id for stored in await store.chain(PROJECT, "resp_3")] == ["resp_2", "resp_3"]

    async def test_a_chain_does_not_lead_into_another_project(self, open_store: OpenStore) -> None:
        async with opened(open_store) as store:
            await store.write(Batch(changes=[Begin(record(1, project="other")), Begin(record(2, previous=1))]))
            assert [stored.id for stored in await store.chain(PROJECT, "resp_2")] == ["resp_2"]

    async def test_an_item_with_a_foreign_id_is_found_in_each_project_that_has_it(self, open_store: OpenStore) -> None:
        async with opened(open_store) as store:
            await store.write(Batch(changes=[Begin(record(1)), end(1, "item_x")]))
            await store.write(Batch(changes=[Begin(record(2, project="other")), end(2, "item_x")]))
            assert await store.owner_of(PROJECT, "item_x") == "resp_1"
            assert await store.owner_of("other", "item_x") == "resp_2"
            assert await store.owner_of(PROJECT, "item_y") is None

    # Logs

    async def test_a_log_is_read_from_every_number_on(self, open_store: OpenStore) -> None:
        async with opened(open_store) as store:
            await store.write(Batch(changes=[Begin(record(1))], stretches=[chunk(0, 3)]))
            await store.write(Batch(stretches=[chunk(3, 5)]))
            assert await whole_log(store) == log_of(0, 5)
            for number in range(3):
                assert await store.read(1, number) == log_of(number, 3)
            assert await store.read(1, 4) == log_of(4, 5)
            assert await store.read(1, 5) == b""
            assert await store.read(2, 0) == b""

    async def test_segments_become_logs_at_the_next_start(self, open_store: OpenStore) -> None:
        async with opened(open_store) as store:
            begun: list[Change] = [Begin(record(1)), Begin(record(2))]
            await store.write(Batch(changes=begun, chunks=[chunk(0, 2), chunk(0, 1, key=2)]))
            await store.write(Batch(chunks=[chunk(1, 4, key=2), chunk(2, 3)]))
        async with opened(open_store) as store:
            assert await whole_log(store) == log_of(0, 3)
            assert await whole_log(store, 2) == log_of(0, 4, key=2)

    async def test_a_stretch_and_the_segments_around_it_are_told_once(self, open_store: OpenStore) -> None:
        async with opened(open_store) as store:
            await store.write(Batch(changes=[Begin(record(1))], chunks=[chunk(0, 2)]))
            await store.write(Batch(chunks=[chunk(2, 3)]))
            await store.write(Batch(stretches=[chunk(0, 5)]))
            await store.write(Batch(chunks=[chunk(5, 6)]))
            await store.write(Batch(chunks=[chunk(6, 8)]))
        async with opened(open_store) as store:
            assert await whole_log(store) == log_of(0, 8)

    async def test_segments_are_numbered_upwards_and_what_is_spent_is_gone(self, open_store: OpenStore) -> None:
        async with opened(open_store) as store:
            first = await store.write(Batch(changes=[Begin(record(1))], chunks=[chunk(0, 2)]))
            second = await store.write(Batch(changes=[Begin(record(2))], chunks=[chunk(0, 2, key=2)]))
            assert second.segment > first.segment
            await store.write(Batch(spent=second.segment))
        async with opened(open_store) as store:
            assert await whole_log(store) == b""
            assert await whole_log(store, 2) == log_of(0, 2, key=2)

    async def test_a_log_goes_on_after_each_start(self, open_store: OpenStore) -> None:
        for first in range(0, 8, 2):
            async with opened(open_store) as store:
                changes: list[Change] = [Begin(record(1))] if first == 0 else []
                await store.write(Batch(changes=changes, chunks=[chunk(first, first + 2)]))
        async with opened(open_store) as store:
            assert await whole_log(store) == log_of(0, 8)

    async def test_a_stretch_may_be_large(self, open_store: OpenStore) -> None:
        frame = b"event: e\ndata: " + b"x" * 300_000 + b"\n\n"
        async with opened(open_store) as store:
            await store.write(Batch(changes=[Begin(record(1))], stretches=[Chunk(1, 0, frame * 3)]))
            assert await store.read(1, 1) == frame * 2

    # Batches

    async def test_batches_are_committed_in_the_order_of_the_calls(self, open_store: OpenStore) -> None:
        async with opened(open_store) as store:
            begin = store.write(Batch(changes=[Begin(record(1))]))
            ends = [store.write(Batch(changes=[End(1, "completed", b"%d" % n, "", [])])) for n in range(20)]
            await ends[-1]
            assert begin.done()
            stored = await store.find(PROJECT, "resp_1")
            assert stored is not None
            assert stored.response == b"19"

    async def test_an_empty_batch_is_a_commit_too(self, open_store: OpenStore) -> None:
        async with opened(open_store) as store:
            assert (await store.write(Batch())).fenced == set()

    async def test_what_was_handed_over_is_written_before_a_store_closes(self, open_store: OpenStore) -> None:
        store = open_store(FakeClock())
        await store.start()
        written = store.write(Batch(changes=[Begin(record(1))], chunks=[chunk(0, 2)]))
        await store.aclose()
        await written
        async with opened(open_store) as store:
            assert await whole_log(store) == log_of(0, 2)

    async def test_a_closed_store_refuses(self, open_store: OpenStore) -> None:
        async with opened(open_store) as store:
            pass
        with pytest.raises(Unavailable):
            await store.write(Batch())
        with pytest.raises(Unavailable):
            await store.find(PROJECT, "resp_1")

    # Deletion

    async def test_a_deleted_response_is_gone_with_all_that_hangs_on_it(self, open_store: OpenStore) -> None:
        async with opened(open_store) as store:
            changes: list[Change] = [Begin(record(1)), Fact(1, 0, "kind", b"{}"), end(1, "item_x"), Begin(record(2))]
            await store.write(Batch(changes=changes, stretches=[chunk(0, 3), chunk(0, 1, key=2)]))
            assert await store.delete(PROJECT, "resp_1")
            assert not await store.delete(PROJECT, "resp_1")
            assert await store.find(PROJECT, "resp_1") is None
            assert await store.owner_of(PROJECT, "item_x") is None
            assert await whole_log(store) == b""
            assert await whole_log(store, 2) == log_of(0, 1, key=2)

    async def test_a_deleted_response_does_not_come_back_with_its_segments(self, open_store: OpenStore) -> None:
        async with opened(open_store) as store:
            await store.write(Batch(changes=[Begin(record(1))], chunks=[chunk(0, 3)]))
            await store.delete(PROJECT, "resp_1")
        store = open_store(FakeClock())
        assert await store.start() == 1
        await store.write(Batch(changes=[Begin(record(1))]))
        assert await whole_log(store) == b""
        await store.aclose()
        async with opened(open_store) as store:
            assert await whole_log(store) == b""

    # Leases

    async def test_a_lease_is_one_workers_until_it_expires(self, open_store: OpenStore) -> None:
        clock = FakeClock()
        async with opened(open_store, clock) as store:
            await store.write(Batch(changes=[Begin(record(1, background=True))]))
            assert await store.lease(1, "a", clock.now() + 30) == 1
            assert await store.lease(1, "b", clock.now() + 30) is None
            assert not await store.unfinished()
            await clock.advance(31)
            assert [stored.attempts for stored in await store.unfinished()] == [1]
            assert await store.lease(1, "b", clock.now() + 30) == 2
            assert await store.lease(1, "a", clock.now() + 30) is None

    async def test_a_renewed_lease_does_not_expire_and_a_lost_one_is_not_renewed(self, open_store: OpenStore) -> None:
        clock = FakeClock()
        async with opened(open_store, clock) as store:
            await store.write(Batch(changes=[Begin(record(key, background=True)) for key in (1, 2, 3)]))
            for key in (1, 2, 3):
                await store.lease(key, "a", clock.now() + 30)
            await store.write(Batch(changes=[end(3)]))
            await clock.advance(20)
            assert await store.renew([1, 3], "a", clock.now() + 30) == {1}
            await clock.advance(20)
            assert await store.lease(1, "b", clock.now() + 30) is None
            assert await store.lease(2, "b", clock.now() + 30) == 2
            assert await store.renew([1, 2, 9], "a", clock.now() + 30) == {1}
            assert await store.renew([], "a", clock.now() + 30) == set()

    async def test_leases_are_given_back_by_owner_or_all_at_once(self, open_store: OpenStore) -> None:
        clock = FakeClock()
        async with opened(open_store, clock) as store:
            await store.write(Batch(changes=[Begin(record(key, background=True)) for key in (1, 2, 3)]))
            for key, owner in ((1, "a"), (2, "b"), (3, "c")):
                await store.lease(key, owner, clock.now() + 30)
            await store.release("a")
            assert [stored.key for stored in await store.unfinished()] == [1]
            await store.release()
            assert [stored.key for stored in await store.unfinished()] == [1, 2, 3]

    async def test_what_is_over_or_unknown_cannot_be_leased(self, open_store: OpenStore) -> None:
        async with opened(open_store) as store:
            await store.write(Batch(changes=[Begin(record(1, background=True)), end(1)]))
            assert await store.lease(1, "a", 2_000_000_000.0) is None
            assert await store.lease(9, "a", 2_000_000_000.0) is None

    async def test_a_worker_that_lost_its_lease_writes_nothing_and_the_others_do(self, open_store: OpenStore) -> None:
        clock = FakeClock()
        async with opened(open_store, clock) as store:
            await store.write(Batch(changes=[Begin(record(1)), Begin(record(2))], stretches=[chunk(0, 1)]))
            old = await store.lease(1, "a", clock.now() + 30)
            await clock.advance(31)
            new = await store.lease(1, "b", clock.now() + 30)
            assert old is not None
            assert new is not None
            late = Batch(
                changes=[Fact(1, 1, "kind", b"{}"), end(1, "item_x"), end(2)],
                chunks=[Chunk(1, 1, log_of(1, 2, key=9), old), chunk(0, 2, key=2)],
            )
            assert (await store.write(late)).fenced == {1}
            late = Batch(stretches=[Chunk(1, 1, log_of(1, 2, key=9), old), chunk(2, 3, key=2)])
            assert (await store.write(late)).fenced == {1}
            stored = await store.find(PROJECT, "resp_1")
            assert stored is not None
            assert stored.response is None
            assert await store.owner_of(PROJECT, "item_x") is None
            assert (await store.write(Batch(chunks=[chunk(1, 3, fence=new)]))).fenced == set()
            assert await whole_log(store) == log_of(0, 1)
        async with opened(open_store) as store:
            assert await whole_log(store) == log_of(0, 3)
            assert await store.find(PROJECT, "resp_2") is not None

    async def test_a_deleted_response_is_fenced(self, open_store: OpenStore) -> None:
        async with opened(open_store) as store:
            await store.write(Batch(changes=[Begin(record(1, background=True))]))
            fence = await store.lease(1, "a", 2_000_000_000.0)
            await store.delete(PROJECT, "resp_1")
            assert fence is not None
            late = Batch(changes=[end(1, "item_x")], stretches=[chunk(0, 1, fence=fence)])
            assert (await store.write(late)).fenced == {1}
            assert await whole_log(store) == b""
