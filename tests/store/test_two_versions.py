"""Two versions of Relay on one database, as while it is rolled: tables only grow, and what is strange is left alone."""

import ast
import json
from datetime import timedelta
from pathlib import Path

import pytest
from playbook import NOON
from sqlalchemy import text
from world import World, ended, told

import relay.store
from relay.incident.telling import tell
from relay.store import tables
from relay.store.encoding import read_event, read_incident, write_incident
from relay.store.outbox import Outbox

MIGRATIONS = sorted((Path(relay.store.__file__).parent / "migrations" / "versions").glob("[0-9]*.py"))
GROWS = {
    "get_bind",
    "create_all",
    "create",
    "create_table",
    "add_column",
    "create_index",
    "Column",
    "Text",
    "String",
}
LEASE = timedelta(seconds=30)


@pytest.mark.parametrize("path", MIGRATIONS, ids=lambda path: path.stem)
def test_a_migration_only_adds(path):
    """What it takes away or changes, the version before still needs: that comes a release later."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        assert name in GROWS, f"{path.name}: {name} may break the Relay that runs beside: see docs/operating.md"
        if name == "add_column":
            written = ast.unparse(node)
            assert "nullable=True" in written or "server_default=" in written, f"{path.name}: {written}"


def test_a_table_that_has_grown_is_used_on(database):
    world = World(database).post(told("A"))
    for table in ("incident", "alert", "inbox", "outbox", "timeline", "quarantine"):
        database.transact(
            lambda connection, table=table: connection.execute(text(f"ALTER TABLE {table} ADD newer TEXT"))
        )
    world.post(told("B")).after(minutes=6).post(ended(told("A")), ended(told("B"))).after(minutes=1)
    assert world.only().phase == "resolved"


def test_a_state_with_more_in_it_is_read(database):
    incident = World(database).post(told()).only()
    state = json.loads(write_incident(incident)) | {"newer": {"a": [1]}}
    state["plan"] |= {"newer": 1}
    assert read_incident(json.dumps(state)).but(alerts=incident.alerts) == incident


def test_an_event_that_only_a_newer_one_knows_is_told_as_such():
    assert tell(read_event("Teleported", '{"to": "mars"}')) == "a newer Relay: Teleported"


def test_an_effect_that_only_a_newer_one_can_carry_out_is_left_to_it(database):
    row = {"ref": 1, "incident": "INC-1", "kind": "Summon", "target": "t", "key": "k", "severity": 1, "body": "{}"}
    times = {"created_at": NOON, "due_at": NOON, "attempts": 0, "claimed": False}

    def claim(now):
        return database.transact(lambda connection: Outbox(connection).claim(now, LEASE, 10, lambda target: 9, ()))

    World(database).post(told())
    database.transact(lambda connection: connection.execute(tables.outbox.insert(), [{**row, **times}]))
    assert claim(NOON + timedelta(seconds=1)) == []
    kept = database.read(lambda connection: connection.execute(text("SELECT kind FROM outbox")).scalars().all())
    assert "Summon" in kept
    unclaimed = database.transact(lambda connection: Outbox(connection).unclaimed(NOON + timedelta(seconds=1)))
    assert not unclaimed
