"""What providers have told of their schedules: kept, so that it is known after a start."""

import json
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from relay.incident.schedule import Told, ToldShift
from relay.store import tables


def keep_told(connection: Connection, name: str, told: Told) -> None:
    """Keep what was told of one schedule."""
    connection.execute(delete(tables.schedule).where(tables.schedule.c.name == name))
    shifts = json.dumps([[s.starts.isoformat(), s.ends.isoformat(), *s.names] for s in told.shifts])
    connection.execute(insert(tables.schedule), [{"name": name, "told_at": told.at, "shifts": shifts}])


def read_told(connection: Connection) -> dict[str, Told]:
    """Everything that was told, by the schedule's name."""
    rows = connection.execute(select(tables.schedule))
    return {row.name: Told(row.told_at, tuple(map(_shift, json.loads(row.shifts)))) for row in rows}


def _shift(row: list[str]) -> ToldShift:
    starts, ends, *names = row
    return ToldShift(datetime.fromisoformat(starts), datetime.fromisoformat(ends), tuple(names))
