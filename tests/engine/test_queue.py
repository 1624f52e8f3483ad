"""Waiting for a place at an upstream: nobody waits longer than its deadline, and no place is lost on the way."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.engine.queue import Queue
from antiphon.policy.admission import AdmissionSettings
from antiphon.testing import FakeClock
from antiphon.wire.errors import ServerOverloaded
from tests.engine.attempts_stage import error_of, leave, settle

pytestmark = pytest.mark.anyio


class Waiters:
    """A queue of one place, which is taken, and those who wait for it."""

    def __init__(self, **settings):
        self.clock = FakeClock()
        self.queue = Queue(AdmissionSettings(**{"limit": 1, **settings}), self.clock)
        self.first = None

    async def take(self):
        self.first = await self.queue.enter("first", None)
        return self

    async def enter(self, project="p", deadline=None):
        task = asyncio.create_task(self.queue.enter(project, deadline))
        await settle()
        return task

    @property
    def figures(self):
        admission = self.queue.admission
        return admission.running, admission.waiting


async def test_who_is_admitted_in_time_is_not_thought_late_afterwards():
    waiters = await Waiters().take()
    waiting = await waiters.enter(deadline=5.0)
    assert waiters.clock.waiting == [5.0]
    waiters.queue.leave(waiters.first)
    ticket = await waiting
    assert waiters.clock.waiting == []
    await waiters.clock.advance(10)
    assert waiters.figures == (1, 0)
    waiters.queue.leave(ticket)
    assert waiters.figures == (0, 0)


async def test_who_leaves_the_queue_leaves_no_timer_behind():
    waiters = await Waiters().take()
    waiting = await waiters.enter(deadline=5.0)
    await leave(waiting)
    assert waiters.clock.waiting == []
    assert waiters.figures == (1, 0)


async def test_the_deadline_ends_the_wait_of_whom_it_is_and_of_nobody_else():
    waiters = await Waiters().take()
    soon, late = await waiters.enter(deadline=5.0), await waiters.enter(deadline=9.0)
    await waiters.clock.advance(5)
    await settle()
    assert soon.done()
    assert isinstance(await error_of(soon), ServerOverloaded)
    assert not late.done()
    assert waiters.figures == (1, 1)
    waiters.queue.leave(waiters.first)
    waiters.queue.leave(await late)
    assert (waiters.figures, waiters.clock.waiting) == ((0, 0), [])


async def test_a_place_goes_on_to_the_next_one_if_its_new_owner_leaves_at_that_very_moment():
    waiters = await Waiters().take()
    leaving, following = await waiters.enter(), await waiters.enter()
    waiters.queue.leave(waiters.first)  # admitted, but it does not know yet
    await leave(leaving)
    ticket = await following
    assert waiters.figures == (1, 0)
    waiters.queue.leave(ticket)
    assert waiters.figures == (0, 0)


async def test_who_is_displaced_by_a_project_with_less_is_told_to_come_back():
    waiters = await Waiters(queue=2).take()
    older, newer = await waiters.enter("many", 9.0), await waiters.enter("many", 9.0)
    other = await waiters.enter("few")
    await settle()
    assert newer.done()
    error = await error_of(newer)
    assert isinstance(error, ServerOverloaded)
    assert error.retry_after
    assert (older.done(), other.done(), waiters.figures) == (False, False, (1, 2))
    await leave(older, other)
    assert (waiters.figures, waiters.clock.waiting) == ((1, 0), [])
