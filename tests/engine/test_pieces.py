"""What cannot be read, or what the database refuses, harms nothing else; and nobody else is blamed for it."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from playbook import NOON
from service import service
from world import told

from relay.clock import ManualClock
from relay.demo.standins import pagerduty
from relay.demo.standins.faults import Fault

pytestmark = pytest.mark.servers


@pytest.fixture
def clock():
    return ManualClock(NOON)


@pytest.fixture
async def pager():
    async with pagerduty.stand_in() as vendor:
        yield vendor


@pytest.fixture
async def relay(tmp_path, clock, pager):
    """A service with an incident that was paged."""
    async with service(tmp_path, pager.url, clock=clock) as running:
        await post(running, "first")
        await rung(pager, "INC-1/")
        await eventually(lambda: not sql(tmp_path, "select 1 from outbox"))
        yield running


def sql(directory, statement):
    with closing(sqlite3.connect(directory / "data" / "relay.db", timeout=5)) as database, database:
        return database.execute(statement).fetchall()


def in_a_minute(clock):
    """When what cannot be done now is tried again, as the database has it."""
    return int((clock.now() + timedelta(minutes=1)).timestamp() * 1e6)


def refuse(directory, what, when="insert on timeline"):
    sql(directory, f"create trigger refusing before {when} when {what} begin select raise(abort, 'refused'); end")


async def post(relay, *services, name="HighErrorRate"):
    alerts = [told(name, service=service) for service in services]
    status, _ = await relay.post({"version": "4", "groupKey": "g", "status": "firing", "alerts": alerts})
    assert status == 200


async def eventually(holds, seconds=20):
    async with asyncio.timeout(seconds):
        while not (found := holds()):
            await asyncio.sleep(0.02)
    return found


async def rung(pager, start, times=1):
    await eventually(lambda: len([key for key in pager.pages() if key.startswith(start)]) == times)


async def quarantine(relay):
    return (await relay.ask("GET", "/api/v1/quarantine", role="responder"))[1]["quarantine"]


async def test_an_errand_that_cannot_be_read_stops_no_other(relay, pager, tmp_path):
    sql(
        tmp_path,
        "insert into outbox(ref, incident, kind, target, key, severity, body, created_at, due_at, attempts, claimed) "
        "values (5, 'INC-1', 'Page', 'pd-ada', 'k', 1, '{}', 0, 0, 0, 0)",
    )
    await post(relay, "second")
    await rung(pager, "INC-2/")
    [(due,)] = await eventually(lambda: sql(tmp_path, "select due_at from outbox where ref = 5 and due_at > 0"))
    assert due == (NOON + timedelta(minutes=1)).timestamp() * 1e6


async def test_an_incident_that_cannot_be_read_stops_no_other(relay, pager, tmp_path, clock):
    sql(tmp_path, "update incident set state = '{}', wake_at = 1")
    await post(relay, "second")
    await rung(pager, "INC-2/")
    await post(relay, "first", name="Another")  # of the incident that cannot be read: somebody is told of it
    await rung(pager, "INC-3/")
    [item] = await quarantine(relay)
    assert "could not be decided (Unreadable)" in item["reason"]
    _, listed = await relay.ask("GET", "/api/v1/incidents?phase=all", role="viewer")
    assert [one["id"] for one in listed["incidents"]] == ["INC-3", "INC-2", "INC-1"]
    clock.advance(timedelta(hours=1, seconds=1))
    await rung(pager, "INC-2/", 2)


async def test_webhooks_are_not_blamed_for_a_deadline_that_the_database_refuses(relay, pager, tmp_path, clock):
    refuse(tmp_path, "new.kind = 'DeadlineMissed' and new.incident = 'INC-1'")
    clock.advance(timedelta(hours=1, seconds=1))
    for number in (2, 3):
        await post(relay, f"innocent-{number}")
        await rung(pager, f"INC-{number}/")
    assert await quarantine(relay) == []
    _, metrics = await relay.ask("GET", "/metrics")
    [failures] = [line for line in metrics.splitlines() if line.startswith("relay_turn_failures_total")]
    assert float(failures.split()[1]) <= 3
    assert (await relay.ask("GET", "/-/ready"))[0] == 200


async def test_a_deadline_that_the_database_refuses_is_left_alone_for_a_minute(relay, pager, tmp_path, clock):
    refuse(tmp_path, "new.kind = 'DeadlineMissed' and new.incident = 'INC-1'")
    clock.advance(timedelta(hours=1, seconds=1))
    later = in_a_minute(clock)
    await eventually(lambda: sql(tmp_path, "select wake_at from incident where id = 'INC-1'") == [(later,)])
    sql(tmp_path, "drop trigger refusing")
    clock.advance(timedelta(minutes=1))
    await rung(pager, "INC-1/1.0/L2/")


async def test_a_webhook_that_the_database_refuses_is_set_aside_and_no_other(relay, pager, tmp_path):
    refuse(tmp_path, "new.labels like '%poison%'", "insert on alert")
    await post(relay, "poison")
    await post(relay, "innocent")
    await eventually(lambda: sql(tmp_path, "select 1 from alert where labels like '%innocent%'"))
    [item] = await quarantine(relay)
    assert item["reason"] == "the database refuses what is in it"
    await eventually(lambda: len(pager.pages()) == 3)  # the first, the innocent, and that one was set aside


async def test_an_answer_that_the_database_refuses_rings_nobody_again(relay, pager, tmp_path, clock):
    refuse(tmp_path, "new.kind = 'Delivered' and new.incident = 'INC-2'")
    await post(relay, "second")
    await rung(pager, "INC-2/")
    await post(relay, "third")
    await rung(pager, "INC-3/")
    await eventually(lambda: not sql(tmp_path, "select 1 from outbox"))
    clock.advance(timedelta(minutes=1))
    await post(relay, "fourth")
    await rung(pager, "INC-4/")
    assert {pager.triggers(key) for key in pager.pages()} == {1}


async def test_a_refusal_in_words_that_cannot_be_kept_is_kept_without_them(relay, pager, tmp_path):
    refuse(tmp_path, "new.kind = 'Undeliverable' and new.body like '%unspeakable%'")
    pager.faults.add(Fault("status", 400, body='{"message": "unspeakable"}'))
    await post(relay, "second")
    await rung(pager, "INC-2/1.0/L2/")
    _, told_ = await relay.ask("GET", "/api/v1/incidents/INC-2", role="viewer")
    assert "in words that cannot be kept" in str(told_["timeline"])


async def test_a_refusal_that_the_database_cannot_keep_is_not_forgotten(relay, pager, tmp_path, clock):
    """Nobody has been rung, and nobody else is asked until it is kept: so the page is tried again."""
    refuse(tmp_path, "new.kind = 'Undeliverable' and new.incident = 'INC-2'")
    pager.faults.add(Fault("status", 400))
    await post(relay, "second")
    await eventually(lambda: sql(tmp_path, f"select 1 from outbox where due_at = {in_a_minute(clock)}"))
    clock.advance(timedelta(minutes=1))
    await rung(pager, "INC-2/1.0/L1/")
