"""The store's promises, on the real databases."""

import os
import sqlite3
import subprocess
import sys
from datetime import timedelta

import pytest
from playbook import NOON, an_alert, rules
from sqlalchemy import text
from world import World, ended, told

from relay.engine.submit import wake
from relay.incident.decide import decide
from relay.incident.effects import AcknowledgePage, Page, ResolvePage
from relay.incident.events import NoteAdded
from relay.incident.triage import place
from relay.store.database import StoreUnusable, open_database
from relay.store.encoding import read_event, read_incident, write_event, write_incident
from relay.store.failures import StoreUnavailable
from relay.store.inbox import Inbox, Received
from relay.store.reading import find_incident, read_timeline, verify_timeline
from relay.store.transaction import Transaction

LEASE = timedelta(seconds=30)


def roomy(target):
    return 100


@pytest.fixture
def world(database):
    return World(database)


def test_an_incident_is_read_as_it_was_written(database, world):
    world.post(told("A", severity="critical"), told("B"))
    before = world.only()
    assert read_incident(write_incident(before)).but(alerts=before.alerts) == before
    assert {alert.name for alert in before.alerts.values()} == {"A", "B"}


def test_every_recorded_event_is_read_as_it_was_written(world):
    world.post(told()).after(minutes=40).post(ended(told())).after(hours=1)
    entries = world.database.read(lambda c: read_timeline(c, "INC-1"))
    assert len(entries) > 10
    for entry in entries:
        assert read_event(entry.kind, write_event(entry.event)) == entry.event


def test_what_is_read_together_is_of_one_moment(database, world):
    world.post(told())

    def work(connection):
        before = find_incident(connection, "INC-1")
        world.post(told("Another"))
        return before, find_incident(connection, "INC-1"), verify_timeline(connection, "INC-1")

    before, after, problems = database.read(work)
    assert before == after
    assert problems == []
    assert world.only() != before


def test_a_decision_is_kept_whole_or_not_at_all(database):
    made_of, alert = rules(), an_alert()

    def work(connection):
        transaction = Transaction(connection)
        incident = transaction.incidents.open("g")
        transaction.keep(decide(incident, place(alert, made_of).opened, made_of, NOON), NOON)
        transaction.write(NOON)
        raise RuntimeError("the power fails")

    with pytest.raises(RuntimeError):
        database.transact(work)
    assert database.read(lambda c: find_incident(c, "INC-1")) is None
    assert database.read(lambda c: read_timeline(c, "INC-1")) == []


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("update timeline set body = '{}' where seq = 3", "its body was changed"),
        ("update timeline set actor = 'mallory' where seq = 3", "does not follow"),
        ("delete from timeline where seq = 3", "is missing"),
        ("delete from timeline where seq > 3", "its end was cut"),
    ],
)
def test_a_changed_timeline_does_not_verify(world, damage, found):
    world.post(told()).after(minutes=20).sound()
    world.database.transact(lambda c: c.execute(text(damage)))
    problems = world.database.read(lambda c: verify_timeline(c, "INC-1"))
    assert any(found in problem for problem in problems), problems


def test_a_body_removed_by_law_leaves_the_chain_whole(world):
    world.post(told())
    world.database.transact(lambda c: c.execute(text("update timeline set body = null, salt = null where seq = 2")))
    world.sound()


def test_claims_are_exclusive_until_their_lease_ends(database, world):
    world.deliver(told()).turn()
    now = world.clock.now()

    def claim(at):
        return database.transact(lambda c: Transaction(c).outbox.claim(at, LEASE, 10, roomy, ()))

    assert claim(now) == []
    [again] = claim(now + timedelta(seconds=31))
    assert isinstance(again.effect, Page)


def test_messages_about_one_page_keep_their_order(database, world):
    world.deliver(told()).turn()
    world.deliver(ended(told()))
    world._answers = []  # the page is still with its vendor
    assert world.turn().errands == []
    world.clock.advance(timedelta(seconds=31))
    kinds = [type(e.effect) for e in world.turn().errands]
    assert kinds == [ResolvePage]  # its sender is gone, and what is over rings nobody


def test_the_most_severe_is_claimed_first(database):
    def work(connection):
        outbox = Transaction(connection).outbox
        asked = [(f"INC-{n}", severity, AcknowledgePage("pd", f"k{n}", "ana")) for n, severity in enumerate([3, 1, 2])]
        outbox.add(asked, NOON, LEASE, lambda target: 0)
        return outbox.claim(NOON, LEASE, 10, roomy, ())

    assert [errand.incident for errand in database.transact(work)] == ["INC-1", "INC-2", "INC-0"]


def test_a_full_target_holds_up_no_other(database):
    def work(connection):
        outbox = Transaction(connection).outbox
        asked = [(f"INC-{n}", 1, AcknowledgePage("slow", f"s{n}", "ana")) for n in range(50)]
        outbox.add([*asked, ("INC-99", 5, AcknowledgePage("fast", "f", "ana"))], NOON, LEASE, lambda target: 0)
        return outbox.claim(NOON, LEASE, 10, roomy, {"slow"})

    assert [errand.incident for errand in database.transact(work)] == ["INC-99"]


def test_a_look_takes_what_has_room_from_each_target_the_most_severe_first(database):
    def work(connection):
        outbox = Transaction(connection).outbox
        asked = [(f"INC-{n}", 1 + n % 5, AcknowledgePage(f"t{n % 3}", f"k{n}", "ana")) for n in range(90)]
        outbox.add(asked, NOON, LEASE, lambda target: 0)
        got = outbox.claim(NOON, LEASE, 10, {"t0": 4, "t1": 0, "t2": 9}.get, ())
        return got, outbox.unclaimed(NOON), outbox.claim(NOON, LEASE, 100, roomy, ()), outbox.unclaimed(NOON)

    got, more, others, still = database.transact(work)
    assert [int(errand.incident[4:]) % 5 for errand in got] == [0] * 10
    assert [errand.effect.target for errand in got].count("t0") == 4
    assert (len(others), more, still) == (80, True, False)


def test_two_writers_of_one_incident_lose_nothing(world):
    world.post(told())
    for number in range(20):
        world.act("INC-1", NoteAdded("ana", f"note {number}"))
    world.sound()
    assert world.kinds("INC-1").count("NoteAdded") == 20


def test_a_group_whose_incident_is_closed_has_none_even_before_that_is_written(database, world):
    world.post(told()).post(ended(told()))
    group = place(an_alert(), world.rules).group_key

    def work(connection):
        transaction = Transaction(connection)
        wake(transaction, world.rules, NOON + timedelta(hours=1), 10)
        transaction.incidents.load_groups([group])
        return transaction.incidents.get("INC-1").phase, transaction.incidents.of_group(group)

    assert database.transact(work) == ("closed", None)


def test_large_bodies_are_decided_in_portions(database):
    bodies = [Received("prod", NOON, bytes(1000)) for _ in range(10)]

    def work(connection):
        inbox = Inbox(connection)
        inbox.append(bodies)
        return inbox.waiting(100, 3500), inbox.waiting(100, 1), inbox.waiting(4, 10**9), inbox.waiting(100, 10**9)

    by_size, at_least_one, by_count, everything = database.transact(work)
    assert [(len(got), more) for got, more in (by_size, at_least_one, by_count, everything)] == [
        (3, True),
        (1, True),
        (4, True),
        (10, False),
    ]


def test_incidents_are_numbered_without_gaps(world):
    for number in range(1, 6):
        world.post(told(service=f"s{number}"))
    assert [i.id for i in reversed(world.incidents())] == [f"INC-{n}" for n in range(1, 6)]


def test_a_checkpoint_copies_the_log_into_the_file(database, world):
    world.post(*(told(service=f"s{number}") for number in range(50)))
    before = size_of_file(database)
    database.checkpoint()
    assert size_of_file(database) > before or database.writers > 1, "PostgreSQL does it by itself"
    assert database.transact(lambda c: len(world.incidents())) == 50


def size_of_file(database):
    path = database.url.database
    return os.path.getsize(path) if database.writers == 1 else 0


def test_texts_of_every_script_are_kept(world):
    name = "Ошибка 錯誤 🔥 \u202e"
    world.post(told(name, annotations={"summary": "naïve\n\t<b>"}))
    [alert] = world.only().alerts.values()
    assert (alert.name, alert.annotations["summary"]) == (name, "naïve\n\t<b>")


class TestSqlite:
    """What only the embedded database can do wrong."""

    def test_a_look_at_a_long_outbox_reads_what_it_can_claim_and_no_more(self, tmp_path):
        opened, plans = open_database(f"sqlite:///{tmp_path / 'relay.db'}"), []

        def look(connection):
            transaction = Transaction(connection)
            page = AcknowledgePage("pd", "k", "ana")
            transaction.outbox.add([("INC-1", 1, page)], NOON, LEASE, lambda target: 0)
            statements = []
            connection.connection.dbapi_connection.set_trace_callback(statements.append)
            transaction.outbox.claim(NOON, LEASE, 10, roomy, ())
            transaction.outbox.unclaimed(NOON)
            transaction.next_moment(NOON)
            connection.connection.dbapi_connection.set_trace_callback(None)
            for statement in statements:
                plans.extend(row[3] for row in connection.exec_driver_sql(f"explain query plan {statement}"))

        opened.transact(look)
        opened.close()
        assert "SEARCH outbox USING INDEX outbox_of_target (target=?)" in plans
        assert not [plan for plan in plans if "SCAN outbox" in plan or "TEMP B-TREE" in plan]

    def test_a_second_process_is_refused_with_the_way_out(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'relay.db'}"
        first = open_database(url)
        code = f"from relay.store.database import open_database; open_database({url!r})"
        second = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        first.close()
        assert "is in use by another Relay" in second.stderr
        assert "use PostgreSQL" in second.stderr
        open_database(url).close()

    def test_a_newer_database_is_refused_with_the_way_out(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'relay.db'}"
        opened = open_database(url)
        opened.transact(lambda c: c.execute(text("update alembic_version set version_num = '9999'")))
        opened.close()
        with pytest.raises(StoreUnusable, match=r"of a newer Relay \(revision 9999.*start the newer Relay"):
            open_database(url)

    def test_a_file_that_is_no_database_is_refused(self, tmp_path):
        path = tmp_path / "relay.db"
        path.write_text("hello" * 1000)
        with pytest.raises(StoreUnusable, match="is not a database"):
            open_database(f"sqlite:///{path}")

    def test_a_directory_that_cannot_be_made_is_refused(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreUnusable, match="cannot be written"):
            open_database(f"sqlite:///{tmp_path / 'file' / 'relay.db'}")

    @pytest.mark.parametrize(
        ("url", "words"),
        [
            ("nonsense", "cannot be read"),
            ("mysql://host/db", "take sqlite or postgresql"),
            ("sqlite://", "name a file"),
        ],
    )
    def test_other_urls_are_refused_in_words(self, url, words):
        with pytest.raises(StoreUnusable, match=words):
            open_database(url)

    def test_a_locked_database_is_told_of(self, tmp_path):
        opened = open_database(f"sqlite:///{tmp_path / 'relay.db'}")
        opened.transact(lambda c: c.exec_driver_sql("pragma busy_timeout = 10"))
        other = sqlite3.connect(tmp_path / "relay.db", isolation_level=None)
        other.execute("begin immediate")
        with pytest.raises(StoreUnavailable, match="locked by another program"):
            opened.transact(lambda c: c.execute(text("select 1")))
        other.close()
        opened.close()

    def test_a_full_disk_is_told_of_and_passes(self, tmp_path):
        opened = open_database(f"sqlite:///{tmp_path / 'relay.db'}")

        def fill(connection):
            connection.exec_driver_sql("pragma max_page_count = 40")
            Inbox(connection).append([Received("prod", NOON, bytes(1_000_000))])

        with pytest.raises(StoreUnavailable, match="the disk is full: make room"):
            opened.transact(fill)

        def room(connection):
            connection.exec_driver_sql("pragma max_page_count = 1000000")
            Inbox(connection).append([Received("prod", NOON, bytes(1_000_000))])

        opened.transact(room)
        opened.close()

    def test_what_is_answered_is_on_the_disk(self, tmp_path):
        opened = open_database(f"sqlite:///{tmp_path / 'relay.db'}")
        settings = [
            opened.transact(lambda c, name=name: c.exec_driver_sql(f"pragma {name}").scalar())
            for name in ("journal_mode", "synchronous")
        ]
        assert settings == ["wal", 2]
        opened.close()
