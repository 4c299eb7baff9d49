"""What people have done to maintenance windows over the API, in order."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select

from relay.store import tables

ADDED, AMENDED, REMOVED, ANNOUNCED = "added", "amended", "removed", "announced"

_BY_PEOPLE = tables.window.c.kind != ANNOUNCED


@dataclass(frozen=True, slots=True)
class WindowAct:
    """One thing that somebody did: `body` is the window as written, or when the open time is to end."""

    name: str
    kind: str
    by: str
    at: datetime
    body: Mapping[str, Any]
    id: int = 0


def lock_acts(connection: Connection) -> None:
    """Let nobody else write acts until this transaction ends, so that they are numbered in the order they are kept in.

    On SQLite that is so anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("lock table window_log in share row exclusive mode")


def append_act(connection: Connection, act: WindowAct) -> None:
    """Write down what somebody did; `lock_acts` comes first."""
    row = {"name": act.name, "kind": act.kind, "by": act.by, "at": act.at, "body": json.dumps(act.body)}
    connection.execute(insert(tables.window), [row])


def was_announced(connection: Connection, name: str, body: Mapping[str, Any]) -> bool:
    """Whether this was told of a window already."""
    row = tables.window.c
    found = select(row.id).where(row.name == name, row.kind == ANNOUNCED, row.body == json.dumps(body))
    return connection.execute(found).first() is not None


def read_acts(connection: Connection, name: str | None = None) -> list[WindowAct]:
    """Everything that people have done, in order; or only to windows of one name."""
    row = tables.window.c
    chosen = select(tables.window).where(_BY_PEOPLE).order_by(row.id)
    if name is not None:
        chosen = chosen.where(row.name == name)
    return [_act(found) for found in connection.execute(chosen)]


def newest_acts(connection: Connection, limit: int) -> list[WindowAct]:
    """The last of all that was done, or told, the newest first."""
    rows = connection.execute(select(tables.window).order_by(tables.window.c.id.desc()).limit(limit))
    return [_act(found) for found in rows]


def newest_act(connection: Connection) -> int:
    """The number of the last thing that people have done; 0 when there is none."""
    return connection.execute(select(func.max(tables.window.c.id)).where(_BY_PEOPLE)).scalar() or 0


def _act(row: Any) -> WindowAct:
    return WindowAct(row.name, row.kind, row.by, row.at, json.loads(row.body), row.id)
