"""Windows have changed: all that is held is looked at again, however much it is, and whoever else holds it."""

import asyncio
from datetime import timedelta

import psycopg
import pytest
from databases import database, emptied, postgresql_url
from playbook import NOON, rules
from service import service
from sqlalchemy import select
from test_reconciling import a_told, incidents, until
from world import World, told

from relay.clock import ManualClock
from relay.engine import turn
from relay.engine.submit import submit
from relay.incident.events import ConditionDated
from relay.store import tables
from relay.store.incidents import Incidents
from relay.store.transaction import Transaction

__all__ = ["database", "postgresql_url"]

WINDOW = """
  - {name: w, reason: r, owner: o, zone: UTC, matchers: [cluster=eu], starts: 2026-01-07T00:00, ends: 2026-01-08T00:00}
"""


def phases(world):
    return {incident.id: incident.phase for incident in world.incidents()}


def test_what_happens_before_its_turn_comes_does_not_make_one_forgotten(database, monkeypatch):
    world = World(database, rules(windows=WINDOW))
    world.post(*(told(service=name, cluster="eu") for name in ("a", "b")))
    assert phases(world) == {"INC-1": "held", "INC-2": "held"}
    monkeypatch.setattr(turn, "MOST_WAKES", 1)
    world.rules = rules()

    def date(connection):
        """The window is gone; before the second is looked at, Prometheus tells since when its condition holds."""
        transaction = Transaction(connection)
        transaction.incidents.look_again(world.clock.now())
        submit(transaction, "INC-2", ConditionDated(NOON - timedelta(minutes=3)), world.rules, world.clock.now())
        transaction.write(world.clock.now())

    database.transact(date)
    world.after(seconds=5).sound()
    assert phases(world) == {"INC-1": "triggered", "INC-2": "triggered"}


def test_what_was_looked_at_waits_for_its_own_deadlines(database):
    world = World(database).post(told())
    wakes = select(tables.incident.c.wake_at)
    before = database.read(lambda connection: connection.execute(wakes).scalar())
    database.transact(lambda connection: Incidents(connection).look_again(world.clock.now()))
    world.after(seconds=1)
    assert database.read(lambda connection: connection.execute(wakes).scalar()) == before


@pytest.mark.servers
async def test_a_clock_that_is_set_back_lets_all_be_looked_at_again(tmp_path, monkeypatch):
    """What was to be looked at, and was not yet, would be so by the new clock only an hour later."""
    look_again, times = Incidents.look_again, []

    def note(incidents, now, only=None):
        times.append(now)
        return look_again(incidents, now, only)

    monkeypatch.setattr(Incidents, "look_again", note)
    clock = ManualClock(NOON)
    async with service(tmp_path, clock=clock):
        await until(lambda: asyncio.sleep(0, len(times) == 1))
        clock.step(timedelta(hours=-1))
        await until(lambda: asyncio.sleep(0, len(times) == 2))
    assert times == [NOON, NOON - timedelta(hours=1)]


@pytest.mark.servers
async def test_webhooks_are_taken_while_another_replica_holds_what_is_to_be_looked_at(tmp_path, postgresql_url):
    emptied(postgresql_url).close()
    async with service(tmp_path, database=postgresql_url) as relay:
        await relay.post({"version": "4", "groupKey": "{}:{}", "alerts": [a_told()]})
        await until(incidents(relay, "triggered"))
        with psycopg.connect(postgresql_url) as other:
            other.execute("select * from incident for update")
            relay.running.reconsider()
            await asyncio.sleep(0.2)
            labels = {"alertname": "Other", "service": "ledger"}
            async with asyncio.timeout(1):
                alerts = [{**a_told(), "labels": labels, "fingerprint": "f"}]
                assert (await relay.post({"version": "4", "groupKey": "o", "alerts": alerts}))[0] == 200
            other.rollback()
        await asyncio.sleep(1.5)
        assert len(await incidents(relay, "triggered")()) == 2


@pytest.mark.servers
def test_what_another_replica_holds_is_told_and_looked_at_later(postgresql_url):
    database = emptied(postgresql_url)
    World(database).post(told(service="a")).post(told(service="b", fingerprint="fb"))
    with psycopg.connect(postgresql_url) as other:
        other.execute("select * from incident where id = 'INC-2' for update")
        left = database.transact(lambda connection: Incidents(connection).look_again(NOON))
        assert left == {"INC-2"}
        assert database.transact(lambda connection: Incidents(connection).look_again(NOON, left)) == {"INC-2"}
        other.rollback()
    assert database.transact(lambda connection: Incidents(connection).look_again(NOON, left)) == frozenset()
    database.close()
