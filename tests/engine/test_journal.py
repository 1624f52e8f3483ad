"""The journal: one commit for all, what is spent is dropped, and nobody holds the others back."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.engine import journal as journals
from antiphon.engine.journal import Entry, Journal
from antiphon.engine.log import Log
from antiphon.ports import Begin
from antiphon.testing.contracts.store import PROJECT, end, log_of, record, whole_log
from antiphon.wire.errors import Conflict, ServerError, Unavailable
from tests.engine.stage import Withholding
from tests.stores.disk import opened, rows

pytestmark = pytest.mark.anyio

SEGMENTS = "SELECT count(*) FROM segments"


@pytest.fixture
async def store(tmp_path):
    async with opened(Withholding(tmp_path)) as store:
        yield store


@pytest.fixture
def journal(store):
    return Journal(store)


def begin(store, journal, key=1):
    log = Log(read_back=lambda number: store.read(key, number))
    entry = Entry(key, log)
    journal.append(entry, log_of(0, 1, key=key), 1, [Begin(record(key))])
    return entry


def say(journal, entry, count=1, **options):
    first = entry.log.next
    journal.append(entry, log_of(first, first + count, key=entry.key), count, **options)


async def test_what_is_said_in_one_moment_is_one_commit(store, journal):
    entries = [begin(store, journal, key) for key in range(1, 6)]
    for entry in entries:
        say(journal, entry, 3)
    await journal.barrier()
    assert len(store.batches) == 1
    assert [entry.log.committed for entry in entries] == [4] * 5


async def test_there_is_one_commit_at_a_time_and_the_next_has_all_that_came_meanwhile(store, journal):
    store.withholds = True
    entry = begin(store, journal)
    await asyncio.sleep(0)
    for _ in range(20):
        say(journal, entry)
        await asyncio.sleep(0)
    assert len(store.batches) == 1
    assert entry.log.committed == 0
    await store.let_go()
    await journal.barrier()
    assert len(store.batches) == 2
    assert entry.log.committed == 21


async def test_who_waits_learns_when_all_before_is_committed(store, journal):
    store.withholds = True
    entry = begin(store, journal)
    waiting = asyncio.ensure_future(journal.barrier())
    await asyncio.sleep(0)
    assert not waiting.done()
    await store.let_go()
    await waiting
    assert entry.log.committed == 1


async def test_who_waits_for_nothing_waits_for_nobody(store, journal):
    await journal.barrier()
    await journal.idle()
    assert store.batches == []


async def test_an_ended_log_needs_no_segment_any_more(store, journal, tmp_path):
    entry = begin(store, journal)
    await journal.barrier()
    assert rows(tmp_path, SEGMENTS) == [(1,)]
    say(journal, entry, changes=[end(1)], ended=True)
    await journal.barrier()
    await journal.barrier()
    assert rows(tmp_path, SEGMENTS) == [(0,)]
    assert entry.settled
    assert await whole_log(store) == log_of(0, 2)


async def test_a_log_with_much_in_memory_is_spilled_and_forgotten(store, journal, monkeypatch):
    monkeypatch.setattr(journals, "SPILL", 200)
    entry = begin(store, journal)
    for _ in range(10):
        say(journal, entry, 3)
        await journal.barrier()
        assert entry.log.size < 300
    assert entry.log.first > 20
    assert (await whole_log(store)) == log_of(0, entry.log.first)


@pytest.mark.parametrize("speaks", [True, False])
async def test_a_slow_log_does_not_keep_the_segments_of_the_others(store, journal, tmp_path, monkeypatch, speaks):
    monkeypatch.setattr(journals, "LAG", 5)
    slow, busy = begin(store, journal, 1), begin(store, journal, 2)
    for number in range(60):
        say(journal, busy)
        if speaks and number % 20 == 0:
            say(journal, slow)
        await journal.barrier()
        assert rows(tmp_path, SEGMENTS)[0][0] <= 9
    assert await whole_log(store, 1) == log_of(0, slow.log.first, key=1)


async def test_a_broken_log_keeps_its_segments_but_not_for_ever(store, journal, tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "LAG", 5)
    broken, busy = begin(store, journal, 1), begin(store, journal, 2)
    await journal.barrier()
    store.trouble.at = 0
    say(journal, broken)
    with pytest.raises(Unavailable):
        await journal.barrier()
    for _ in range(20):
        say(journal, busy)
        await journal.barrier()
    assert rows(tmp_path, SEGMENTS)[0][0] > 12
    await journal.rescue()
    assert await whole_log(store, 1) == log_of(0, 1, key=1)
    say(journal, busy, 2)
    await journal.barrier()
    await journal.barrier()
    assert rows(tmp_path, SEGMENTS)[0][0] < 10


async def test_a_log_that_was_never_begun_is_settled_when_its_first_commit_fails(store, journal):
    store.trouble.at = 0
    entry = begin(store, journal)
    with pytest.raises(Unavailable):
        await journal.barrier()
    assert entry.settled
    await journal.rescue()
    assert await store.find(PROJECT, "resp_1") is None


async def test_a_rescue_that_fails_can_be_tried_again(store, journal):
    entry = begin(store, journal)
    await journal.barrier()
    store.trouble.at = 0
    say(journal, entry)
    with pytest.raises(Unavailable):
        await journal.barrier()
    store.trouble.at = 0
    with pytest.raises(Unavailable):
        await journal.rescue()
    assert not entry.settled
    await journal.rescue()
    assert entry.settled
    assert await whole_log(store) == log_of(0, 1)


async def test_a_fenced_log_is_given_up_at_once(store, journal):
    entry = begin(store, journal)
    await journal.barrier()
    entry.fence = await store.lease(1, "one", 2_000_000_000.0)
    say(journal, entry)
    await journal.barrier()
    assert entry.log.committed == 2
    await store.release()
    await store.lease(1, "another", 2_000_000_000.0)
    say(journal, entry, changes=[end(1)], ended=True)
    await journal.barrier()
    assert isinstance(entry.log.failure, Conflict)
    assert entry.settled
    assert (await store.find(PROJECT, "resp_1")).response is None


async def test_a_log_that_is_left_is_whole_for_the_next_worker(store, journal):
    entry = begin(store, journal)
    say(journal, entry, 3)
    journal.leave(entry, Unavailable("Left."))
    await journal.barrier()
    assert entry.settled
    assert await whole_log(store) == log_of(0, 4)
    say(journal, entry)
    await journal.barrier()
    assert await whole_log(store) == log_of(0, 4)


async def test_a_log_that_has_ended_cannot_be_left(store, journal):
    entry = begin(store, journal)
    say(journal, entry, changes=[end(1)], ended=True)
    journal.leave(entry, Unavailable("Left."))
    await journal.barrier()
    assert entry.log.ended
    assert entry.log.failure is None


async def test_an_end_without_a_word_that_comes_during_a_commit_waits_for_its_own(store, journal):
    store.withholds = True
    entry = begin(store, journal)
    await asyncio.sleep(0)
    journal.append(entry, b"", 0, [end(1)], ended=True)
    kept, store._kept = store._kept, []
    for batch, future in kept:
        future.set_result(await super(Withholding, store).write(batch))
    await asyncio.sleep(0)
    assert entry.log.committed == 1
    assert not entry.log.ended
    await store.let_go()
    await journal.barrier()
    assert entry.log.ended


async def test_a_defect_in_a_commit_is_an_error_of_the_server_and_is_logged(store, journal, caplog):
    first = begin(store, journal)
    await journal.barrier()
    second = begin(store, journal)
    with pytest.raises(ServerError) as failed:
        await journal.barrier()
    assert not isinstance(failed.value, Unavailable)
    assert "IntegrityError" in caplog.text
    assert second.log.failure is failed.value
    assert first.log.failure is None


async def test_what_nobody_waits_for_is_committed_before_long(store, journal):
    entry = begin(store, journal)
    await journal.barrier()
    say(journal, entry, patient=True)
    assert len(store.batches) == 1
    await journal.idle()
    assert len(store.batches) == 2
    assert entry.log.committed == 2
