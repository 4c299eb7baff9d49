"""Carrying out: nothing begins after its claim has ended, or goes on until then."""

import asyncio
import time

import aiohttp
import pytest
from playbook import NOON

from relay.clock import ManualClock
from relay.engine.dispatch import Dispatch
from relay.engine.metrics import Metrics
from relay.engine.pace import Pace
from relay.engine.turn import LEASE
from relay.incident.effects import AcknowledgePage
from relay.integrations.courier import Again
from relay.store.outbox import Errand

ERRAND = Errand(1, "INC-1", AcknowledgePage("pd", "k", "ana"), 0, NOON, NOON + LEASE)


class Slow:
    """A pager that never answers."""

    asked = 0

    async def carry_out(self, effect, session):
        self.asked += 1
        await asyncio.sleep(60)


@pytest.fixture
def pager():
    return Slow()


@pytest.fixture
def dispatch(pager):
    return Dispatch(lambda: {"pd": pager}, Pace(dict, time.monotonic), ManualClock(NOON), Metrics())


async def carry_out(dispatch, claimed_ago):
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
        dispatch.start([ERRAND], time.monotonic() - claimed_ago, tasks, session)


async def test_what_was_claimed_too_long_ago_is_not_begun(dispatch, pager):
    await carry_out(dispatch, LEASE.total_seconds())
    assert (pager.asked, dispatch.take_answers(), dispatch.idle) == (0, [], True)


async def test_what_is_begun_late_ends_with_its_claim(dispatch, pager):
    await carry_out(dispatch, LEASE.total_seconds() - 0.1)
    assert pager.asked == 1
    [answer] = dispatch.take_answers()
    assert isinstance(answer.said, Again)
    assert dispatch.idle
