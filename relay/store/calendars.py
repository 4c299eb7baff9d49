"""What addresses of calendars have told: kept, so that it is known after a start."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from sqlalchemy import Connection, insert, select, update

from relay.store import tables


@dataclass(frozen=True, slots=True)
class Told:
    """What an address has told, and when; of the address, which may be a secret, a digest is kept."""

    digest: str
    at: datetime
    text: str


def digest(url: str) -> str:
    """Tell one address from another without showing it."""
    return sha256(url.encode()).hexdigest()


def keep_calendar(connection: Connection, window: str, told: Told) -> None:
    """Keep what was told of one window's calendar."""
    row = {"digest": told.digest, "told_at": told.at, "text": told.text}
    known = update(tables.calendar).where(tables.calendar.c.name == window)
    if not connection.execute(known.values(**row)).rowcount:
        connection.execute(insert(tables.calendar), [{"name": window, **row}])


def read_calendars(connection: Connection) -> Mapping[str, Told]:
    """Everything that was told, by window."""
    rows = connection.execute(select(tables.calendar))
    return {row.name: Told(row.digest, row.told_at, row.text) for row in rows}
