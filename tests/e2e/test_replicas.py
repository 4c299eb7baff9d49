"""Two Relays on one PostgreSQL: one is killed, stopped for longer than a lease, or their database breaks off."""

import asyncio
import signal

import pytest
from databases import postgresql
from e2e.ledger import Told, hold, storm
from e2e.relay_process import relay
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


async def under_load(one, two, what, before: float = 0.7, after: float = 0.7) -> Told:
    """Both take webhooks while something happens; gives what was told."""
    book, stop = Told(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for sender in range(8):
            tasks.create_task(storm(one if sender % 2 else two, book, stop, f"s{sender}"))
        await asyncio.sleep(before)
        await what()
        await asyncio.sleep(after)
        stop.set()
    return book


async def test_when_one_is_killed_the_other_carries_on_for_both(pair):
    one, two, pager, _ = pair
    book = await under_load(one, two, one.kill)
    await hold(two, pager, book, "a replica is killed", "kill -9 in a storm, PostgreSQL, two replicas", LATE)


async def test_one_that_sleeps_longer_than_its_lease_rings_nobody_twice_when_it_wakes(pair):
    one, two, pager, _ = pair

    async def sleep():
        one.child.send_signal(signal.SIGSTOP)

    book = await under_load(one, two, sleep, after=0.5)
    await asyncio.sleep(LEASE.total_seconds() + 5)
    one.child.send_signal(signal.SIGCONT)
    await hold(two, pager, book, "a replica sleeps", "SIGSTOP for longer than its lease, then SIGCONT", LATE)


async def test_a_database_that_breaks_off_is_503_and_then_all_goes_on(pair):
    one, two, pager, database = pair

    async def break_off():
        await asyncio.to_thread(database.kill)
        assert await one.post(told(service="refused")) == 503
        await asyncio.to_thread(database.start)

    book = await under_load(one, two, break_off)
    async with asyncio.timeout(20):
        while await book.fires(one, "afterwards") != 200:
            await asyncio.sleep(0.2)
    await hold(
        two, pager, book, "the database breaks off", "PostgreSQL killed (SIGQUIT) in a storm, then started", LATE
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
