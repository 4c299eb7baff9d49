"""Two Relays on one PostgreSQL: one is killed, stopped for longer than a lease, or their database breaks off."""

import asyncio
import signal

import pytest
from databases import postgresql
from e2e.ledger import hold
from e2e.relay_process import relay
from e2e.test_faults import storm
from world import ended, told

from relay.demo.standins import pagerduty
from relay.engine.turn import LEASE

pytestmark = pytest.mark.servers

LATE = LEASE.total_seconds() + 30
"""Seconds until what a dead replica held is done by another."""


@pytest.fixture
async def pair(tmp_path):
    """Two replicas, their pager and their database."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with postgresql() as database:
        options = ["--database", database.url]
        async with (
            pagerduty.stand_in(limit=None) as pager,
            relay(tmp_path / "one", pager.url, options=options) as one,
            relay(tmp_path / "two", pager.url, options=options) as two,
        ):
            await one.start()
            await two.start()
            yield one, two, pager, database


async def under_load(one, two, what) -> set[str]:
    """Both take webhooks while something happens; gives what was accepted."""
    accepted: set[str] = set()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for worker in range(8):
            tasks.create_task(storm(one if worker % 2 else two, accepted, stop, worker))
        await asyncio.sleep(0.7)
        await what()
        await asyncio.sleep(0.7)
        stop.set()
    return accepted


async def test_when_one_is_killed_the_other_carries_on_for_both(pair):
    one, two, pager, _ = pair
    accepted = await under_load(one, two, one.kill)
    await hold(two, pager, accepted, "a replica is killed", "kill -9 in a storm, PostgreSQL, two replicas", LATE)


async def test_one_that_sleeps_longer_than_its_lease_rings_nobody_twice_when_it_wakes(pair):
    one, two, pager, _ = pair

    async def sleep():
        one.child.send_signal(signal.SIGSTOP)

    async def wake():
        await asyncio.sleep(LEASE.total_seconds() + 5)
        one.child.send_signal(signal.SIGCONT)

    accepted: set[str] = set()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for worker in range(4):
            tasks.create_task(storm(two, accepted, stop, worker))
            tasks.create_task(storm(one, accepted, stop, worker + 4))
        await asyncio.sleep(0.7)
        await sleep()
        await asyncio.sleep(0.5)
        stop.set()
        await wake()
    await hold(two, pager, accepted, "a replica sleeps", "SIGSTOP for longer than its lease, then SIGCONT", LATE)


async def test_a_database_that_breaks_off_is_503_and_then_all_goes_on(pair):
    one, two, pager, database = pair

    async def break_off():
        await asyncio.to_thread(database.kill)
        assert await one.post(told(service="refused")) == 503
        await asyncio.to_thread(database.start)

    accepted = await under_load(one, two, break_off)
    async with asyncio.timeout(20):
        while await one.post(told(service="afterwards")) != 200:
            await asyncio.sleep(0.2)
    known = {*accepted, "afterwards"}
    await hold(
        two, pager, known, "the database breaks off", "PostgreSQL killed (SIGQUIT) in a storm, then started", LATE
    )


async def test_what_one_has_paged_the_other_closes(pair):
    one, two, pager, _ = pair
    assert await one.post(told()) == 200
    async with asyncio.timeout(10):
        while not pager.open_keys():
            await asyncio.sleep(0.05)
    assert await two.post(ended(told())) == 200
    async with asyncio.timeout(10):
        while pager.open_keys():
            await asyncio.sleep(0.05)
