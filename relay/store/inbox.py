"""The inbox: every webhook as it came, until it is decided and after."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, insert, select, update

from relay.store import tables
from relay.store.prepared import Prepared, at, moment
from relay.store.retention import unpack
from relay.store.tables import EPOCH

_INSERT = Prepared(insert(tables.inbox), ("source", "received_at", "body", "waiting"))
_INSERT_ONE = Prepared(insert(tables.inbox).returning(tables.inbox.c.id), ("source", "received_at", "body", "waiting"))
_SIZES = Prepared(
    select(tables.inbox.c.id, func.length(tables.inbox.c.body).label("size"))
    .where(tables.inbox.c.waiting)
    .order_by(tables.inbox.c.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_BODIES = Prepared(
    select(tables.inbox).where(tables.inbox.c.id.in_(bindparam("ids", expanding=True))).order_by(tables.inbox.c.id)
)
_DECIDED = Prepared(
    update(tables.inbox).where(tables.inbox.c.id.in_(bindparam("ids", expanding=True))).values(waiting=False)
)


@dataclass(frozen=True, slots=True)
class Received:
    """A webhook's body, as it came. `id` is 0 before it is stored."""

    source: str
    received_at: datetime
    body: bytes
    id: int = 0


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An alert, or at position -1 a whole webhook, that could not be used."""

    inbox: int
    source: str
    received_at: datetime
    position: int
    reason: str
    body: str


@dataclass(frozen=True, slots=True)
class Inbox:
    """The inbox of one transaction."""

    connection: Connection

    def append(self, bodies: Sequence[Received]) -> None:
        """Store bodies, waiting to be decided."""
        rows = [
            {"source": b.source, "received_at": moment(b.received_at), "body": b.body, "waiting": True} for b in bodies
        ]
        _INSERT.many(self.connection, rows)

    def keep(self, body: Received) -> Received:
        """Store a body that is decided in this very transaction; gives it with its number."""
        row = {"source": body.source, "received_at": moment(body.received_at), "body": body.body, "waiting": False}
        [found] = _INSERT_ONE.run(self.connection, **row)
        return Received(body.source, body.received_at, body.body, found.id)

    def waiting(self, limit: int, most_bytes: int) -> tuple[list[Received], bool]:
        """The oldest undecided bodies that no other process holds, and whether there may be more.

        At least one body is given if there is any; together they have at most `limit` bodies and about `most_bytes`.
        """
        ids: list[int] = []
        total = 0
        sizes = _SIZES.run(self.connection, most=limit)
        for row in sizes:
            total += row.size
            if ids and total > most_bytes:
                break
            ids.append(row.id)
        if not ids:
            return [], False
        rows = _BODIES.run(self.connection, ids=ids)
        bodies = [Received(row.source, at(row.received_at) or EPOCH, unpack(bytes(row.body)), row.id) for row in rows]
        return bodies, len(ids) < len(sizes) or len(sizes) == limit

    def oldest(self, limit: int) -> list[int]:
        """The ids of the oldest undecided bodies that no other process holds."""
        return [row.id for row in _SIZES.run(self.connection, most=limit)]

    def take(self, id_: int) -> Received | None:
        """One undecided body, locked; None when it was decided meanwhile, or another process holds it."""
        row = tables.inbox.c
        query = select(tables.inbox).where(row.id == id_, row.waiting).with_for_update(skip_locked=True)
        found = self.connection.execute(query).one_or_none()
        if found is None:
            return None
        return Received(found.source, found.received_at, unpack(bytes(found.body)), found.id)

    def decided(self, ids: Iterable[int]) -> None:
        """Mark bodies as decided."""
        if ids := list(ids):
            _DECIDED.run(self.connection, ids=ids)

    def set_aside(self, broken: Sequence[Quarantined]) -> None:
        """Keep what could not be used, with the reason."""
        fields = ("inbox", "source", "received_at", "position", "reason", "body")
        rows = [{name: getattr(item, name) for name in fields} for item in broken]
        if rows:
            self.connection.execute(insert(tables.quarantine), rows)
