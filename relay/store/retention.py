"""Keeping tables small: old webhooks are compressed, and what is older than it has to be kept is removed.

Every function does a slice and tells whether there may be more, so that nothing else waits for long. What waits to be
decided, fires, or is open is never touched.
"""

import zlib
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from relay.store import tables
from relay.store.window_log import ANNOUNCED

SLICE = 200
"""Rows of one slice."""
SMALL = 300
"""Bytes below which compressing is not worth it."""
_ZLIB = b"\x78"
"""How a compressed body begins. No webhook does: it is JSON."""


def unpack(body: bytes) -> bytes:
    """Give a webhook's body as it came."""
    return zlib.decompress(body) if body[:1] == _ZLIB else body


def compress_inbox(connection: Connection, before: datetime, after: int) -> int:
    """Compress decided webhooks that came before a moment, those after an id; gives the last id seen, 0 at the end."""
    row = tables.inbox.c
    chosen = select(row.id, row.received_at, row.waiting, row.body).where(row.id > after).order_by(row.id).limit(SLICE)
    seen = 0
    for found in connection.execute(chosen).all():
        if found.received_at >= before:
            return 0
        seen = found.id
        body = bytes(found.body)
        if not found.waiting and len(body) >= SMALL and body[:1] != _ZLIB:
            packed = zlib.compress(body, 6)
            connection.execute(update(tables.inbox).where(row.id == found.id).values(body=packed))
    return seen


def prune_inbox(connection: Connection, before: datetime) -> int:
    """Remove decided webhooks that came before a moment; gives how many."""
    row = tables.inbox.c
    oldest = connection.execute(select(row.id, row.received_at, row.waiting).order_by(row.id).limit(SLICE)).all()
    ids = [found.id for found in oldest if found.received_at < before and not found.waiting]
    return connection.execute(delete(tables.inbox).where(row.id.in_(ids))).rowcount if ids else 0


def prune_quarantine(connection: Connection, before: datetime) -> int:
    """Remove what could not be used, and came before a moment; gives how many."""
    row = tables.quarantine.c
    oldest = connection.execute(select(row.id, row.received_at).order_by(row.id).limit(SLICE)).all()
    ids = [found.id for found in oldest if found.received_at < before]
    return connection.execute(delete(tables.quarantine).where(row.id.in_(ids))).rowcount if ids else 0


def prune_alerts(connection: Connection, before: datetime) -> int:
    """Remove ended alerts last told of before a moment; gives how many."""
    row = tables.alert.c
    chosen = select(row.key).where(row.firing.is_(False), row.told_at < before).order_by(row.told_at).limit(SLICE)
    keys = list(connection.execute(chosen).scalars())
    ended = delete(tables.alert).where(row.key.in_(keys), row.firing.is_(False))
    return connection.execute(ended).rowcount if keys else 0


def prune_incidents(connection: Connection, before: datetime) -> int:
    """Remove closed incidents to which nothing has happened since a moment, with all of theirs; gives how many.

    Their timelines tell when that was: states that cannot be read may not stay for ever.
    """
    row, entry = tables.incident.c, tables.timeline.c
    last = (entry.incident == row.id) & (entry.seq == row.entries)
    closed = select(row.id, entry.recorded_at).join(tables.timeline, last).where(row.phase == "closed")
    oldest = connection.execute(closed.order_by(row.number).limit(SLICE // 4)).all()
    ids = [found.id for found in oldest if found.recorded_at < before]
    if not ids:
        return 0
    connection.execute(delete(tables.timeline).where(entry.incident.in_(ids)))
    connection.execute(delete(tables.alert).where(tables.alert.c.incident.in_(ids), tables.alert.c.firing.is_(False)))
    return connection.execute(delete(tables.incident).where(row.id.in_(ids), row.phase == "closed")).rowcount


def prune_announcements(connection: Connection, before: datetime) -> int:
    """Remove announcements of windows that were made before a moment; gives how many."""
    row = tables.window.c
    chosen = select(row.id).where(row.kind == ANNOUNCED, row.at < before).order_by(row.id).limit(SLICE)
    ids = list(connection.execute(chosen).scalars())
    return connection.execute(delete(tables.window).where(row.id.in_(ids))).rowcount if ids else 0


Prune = Callable[[Connection, datetime], int]
PRUNES: dict[str, Prune] = {
    "inbox": prune_inbox,
    "quarantine": prune_quarantine,
    "alerts": prune_alerts,
    "incidents": prune_incidents,
    "announcements": prune_announcements,
}
"""What is removed by age, by the names in the settings."""
