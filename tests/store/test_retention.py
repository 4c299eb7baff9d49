"""Old rows go, a slice at a time; what waits, fires or is open stays."""

import asyncio
import threading
from datetime import timedelta

import pytest
from databases import emptied
from e2e.ledger import record
from playbook import NOON
from service import service
from sqlalchemy import create_engine, func, select, text
from world import World, ended, told

from relay.demo.standins import pagerduty
from relay.store import tables
from relay.store.database import open_database
from relay.store.inbox import Inbox, Received
from relay.store.reading import verify_timeline
from relay.store.retention import PRUNES, compress_inbox, unpack
from relay.store.window_log import WindowAct, append_act, newest_act, newest_acts, read_acts

DAY = timedelta(days=1)


@pytest.fixture
def world(database):
    return World(database)


def count(database, table):
    return database.read(lambda c: c.execute(select(func.count()).select_from(table)).scalar())


def sweep(database, now, age=30 * DAY, **only):
    removed = {}
    for name, prune in PRUNES.items():
        while found := database.transact(lambda c, prune=prune: prune(c, now - age)):
            removed[name] = removed.get(name, 0) + found
    return removed


def live_a_day(world, services):
    """Some outages of one day, told of and ended."""
    alerts = [told(service=f"s{n}", starts=f"{world.clock.now():%Y-%m-%dT%H:%M:%SZ}") for n in range(services)]
    world.post(*alerts).post(*(ended(a, f"{world.clock.now():%Y-%m-%dT%H:%M:%SZ}") for a in alerts)).after(days=1)


@pytest.mark.servers
def test_thirteen_months_stay_small(world, database):
    """The simulated time is real to the engine; only the outages are few."""
    for day in range(395):
        live_a_day(world, services=2)
        if day % 5 == 0:
            sweep(database, world.clock.now())
    sweep(database, world.clock.now())
    assert count(database, tables.inbox) <= 2 * 31
    assert count(database, tables.alert) <= 2
    assert count(database, tables.incident) <= 2 * 31
    assert count(database, tables.timeline) <= 2 * 31 * 12
    world.sound()


def test_what_is_open_fires_or_waits_is_never_removed(world, database):
    world.post(told("Firing", service="open")).post(told("Over", service="over"))
    world.post(ended(told("Over", service="over"))).after(days=2)
    waiting = Received("prod", NOON, b'{"alerts": []}')
    database.transact(lambda c: Inbox(c).append([waiting]))
    removed = sweep(database, NOON + 1000 * DAY)
    assert removed == {"inbox": 3, "alerts": 1, "incidents": 1}
    [left] = world.incidents()
    assert (left.service, len(left.alerts)) == ("open", 1)
    assert count(database, tables.inbox) == 1
    assert database.read(lambda c: verify_timeline(c, left.id)) == []


def test_incidents_that_cannot_be_read_go_with_their_age_as_well(world, database):
    live_a_day(world, services=60)
    broken = tables.incident.update().where(tables.incident.c.number <= 55).values(state="{")
    database.transact(lambda c: c.execute(broken))
    assert sweep(database, world.clock.now(), age=2 * DAY).get("incidents") is None
    assert sweep(database, world.clock.now() + 2 * DAY, age=2 * DAY)["incidents"] == 60
    assert count(database, tables.timeline) == 0


@pytest.mark.servers
@pytest.mark.parametrize(
    ("kind", "statement"),
    [("sqlite", "PRAGMA wal_checkpoint(TRUNCATE)"), ("postgresql", "VACUUM ANALYZE"), ("postgresql", "CHECKPOINT")],
)
async def test_no_checkpoint_and_no_vacuum_keeps_a_webhook_waiting(tmp_path, postgresql_url, kind, statement):
    if kind == "postgresql":
        emptied(postgresql_url).close()
    url = postgresql_url if kind == "postgresql" else f"sqlite:///{tmp_path / 'data' / 'relay.db'}"
    (tmp_path / "data").mkdir()
    async with pagerduty.stand_in(limit=None) as pager, service(tmp_path, pager.url, database=url) as relay:
        stop, slowest, loop = threading.Event(), 0.0, asyncio.get_running_loop()
        tidying = loop.run_in_executor(None, tidy, url, statement, stop)
        for number in range(150):
            began = loop.time()
            status, _ = await relay.post({"version": "4", "alerts": [told(service=f"s{number}")]})
            assert status == 200
            slowest = max(slowest, loop.time() - began)
        stop.set()
        assert await tidying > 3, "it was not done while webhooks came"
        async with asyncio.timeout(30):
            while len(pager.pages()) < 150:
                await asyncio.sleep(0.05)
        record(
            "tables are tidied", f"{statement} again and again, while webhooks come", 150, 0, len(pager.pages()) - 150
        )
        assert slowest < 2


def tidy(url, statement, stop):
    """Do something to the database again and again; gives how often."""
    engine, done = create_engine(url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"), 0
    with engine.connect() as connection:
        while not stop.wait(0.02):
            connection.execute(text(statement))
            done += 1
    engine.dispose()
    return done


def test_a_slice_is_small(world, database):
    for _ in range(3):
        live_a_day(world, services=100)
    assert database.transact(lambda c: PRUNES["incidents"](c, world.clock.now())) <= 50
    assert database.transact(lambda c: PRUNES["alerts"](c, world.clock.now())) <= 200


def test_webhooks_are_compressed_and_read_as_they_came(world, database):
    bodies = [b'{"alerts": [%s]}' % (b'{"labels": {"a": "b"}},' * n)[:-1] for n in (0, 100, 1000)]
    received = [Received("prod", NOON, body) for body in bodies]
    database.transact(lambda c: Inbox(c).append(received))
    ids = [body.id for body in database.transact(lambda c: Inbox(c).waiting(10, 10**9)[0])]
    assert database.transact(lambda c: compress_inbox(c, NOON + DAY, 0)) == ids[-1]
    assert stored(database) == bodies  # what waits to be decided is left alone
    database.transact(lambda c: Inbox(c).decided(ids))
    assert database.transact(lambda c: compress_inbox(c, NOON, 0)) == 0  # too young
    database.transact(lambda c: compress_inbox(c, NOON + DAY, 0))
    assert [unpack(body) for body in stored(database)] == bodies
    assert sum(map(len, stored(database))) < sum(map(len, bodies)) / 10
    assert database.transact(lambda c: compress_inbox(c, NOON + DAY, ids[-1])) == 0


def stored(database):
    rows = select(tables.inbox.c.body).order_by(tables.inbox.c.id)
    return [bytes(body) for body in database.read(lambda c: list(c.execute(rows).scalars()))]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("select key from alert where firing = 0 and told_at < 5 order by told_at limit 200", "alert_ended"),
        ("select id, state from incident where phase = 'closed' order by number limit 50", "incident_by_phase"),
    ],
)
def test_slices_are_found_by_an_index(tmp_path, query, index):
    opened = open_database(f"sqlite:///{tmp_path / 'relay.db'}")
    plan = opened.read(lambda c: " ".join(row.detail for row in c.execute(text(f"explain query plan {query}"))))
    opened.close()
    assert index in plan
    assert "TEMP B-TREE" not in plan


def test_announcements_go_and_what_people_did_to_windows_stays(database):
    with_kind = {"announced": {"what": "begins"}, "added": {"zone": "UTC"}, "amended": {"ends": "2026"}}
    for kind, body in with_kind.items():
        for at in (NOON, NOON + 31 * DAY):
            act = WindowAct("w", kind, "ana", at, {**body, "n": str(at)})
            database.transact(lambda c, act=act: append_act(c, act))
    assert sweep(database, NOON + 40 * DAY) == {"announcements": 1}
    assert database.read(lambda c: [act.kind for act in newest_acts(c, 9)]).count("announced") == 1
    assert database.read(lambda c: [act.kind for act in read_acts(c)]) == ["added", "added", "amended", "amended"]
    assert database.read(lambda c: newest_act(c)) == 6
