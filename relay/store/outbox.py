"""The outbox: what is to be asked of the world. A row goes in with the decision that asked for it."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, delete, exists, func, insert, or_, select, update

from relay.incident.effects import AcknowledgePage, Effect, ResolvePage, UpdatePage
from relay.store import tables
from relay.store.batches import Batch, moment
from relay.store.encoding import read_effect, write_effect


_INSERT = Batch(
    insert(tables.outbox),
    ("incident", "kind", "target", "key", "severity", "body", "created_at", "due_at", "attempts", "claimed"),
)


@dataclass(frozen=True, slots=True)
class Errand:
    """An effect that a process holds a claim on, until the end of its lease."""

    id: int
    incident: str
    effect: Effect
    attempts: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Outbox:
    """The outbox of one transaction."""

    connection: Connection

    def add(self, asked: Sequence[tuple[str, int, Effect]], now: datetime) -> None:
        """Take in effects: each with its incident and the incident's severity.

        What closes or changes a page takes the place of what was still to be said of that page, unless it is being
        said at this moment: so nobody is rung for a thing that is over before the message left.
        """
        overtaking = [
            effect.key for _, _, effect in asked if isinstance(effect, UpdatePage | AcknowledgePage | ResolvePage)
        ]
        if overtaking:
            self._overtake(
                [e.key for _, _, e in asked if isinstance(e, ResolvePage)], ("Page", "UpdatePage", "AcknowledgePage")
            )
            self._overtake([e.key for _, _, e in asked if isinstance(e, AcknowledgePage)], ("Page", "UpdatePage"))
            self._overtake([e.key for _, _, e in asked if isinstance(e, UpdatePage)], ("UpdatePage",))
        rows = [
            {
                "incident": incident,
                "kind": type(effect).__name__,
                "target": effect.target,
                "key": effect.key,
                "severity": severity,
                "body": write_effect(effect),
                "created_at": moment(now),
                "due_at": moment(now),
                "attempts": 0,
                "claimed": False,
            }
            for incident, severity, effect in asked
        ]
        _INSERT.send(self.connection, rows)

    def _overtake(self, keys: list[str], kinds: tuple[str, ...]) -> None:
        if keys:
            row = tables.outbox.c
            unsaid = and_(row.key.in_(keys), row.kind.in_(kinds), row.claimed.is_(False))
            self.connection.execute(delete(tables.outbox).where(unsaid))

    def claim(self, now: datetime, lease: timedelta, limit: int, busy: Collection[str]) -> list[Errand]:
        """Take what is due, the most severe first; messages about one page keep their order.

        Targets in `busy` are left alone. What is claimed falls due again at the end of the lease.
        """
        row, earlier = tables.outbox.c, tables.outbox.alias("earlier")
        first_of_page = or_(row.key == "", ~exists().where(earlier.c.key == row.key, earlier.c.id < row.id))
        query = select(tables.outbox).where(row.due_at <= now, first_of_page)
        if busy:
            query = query.where(row.target.not_in(sorted(busy)))
        rows = self.connection.execute(
            query.order_by(row.severity, row.id).limit(limit).with_for_update(skip_locked=True)
        ).all()
        if rows:
            mine = row.id.in_([r.id for r in rows])
            self.connection.execute(update(tables.outbox).where(mine).values(due_at=now + lease, claimed=True))
        return [Errand(r.id, r.incident, read_effect(r.kind, r.body), r.attempts, r.created_at) for r in rows]

    def done(self, ids: Iterable[int]) -> set[int]:
        """Forget what was carried out or given up; gives those that were still there to forget."""
        gone = self.connection.execute(
            delete(tables.outbox).where(tables.outbox.c.id.in_(list(ids))).returning(tables.outbox.c.id)
        )
        return set(gone.scalars())

    def postpone(self, id_: int, until: datetime) -> None:
        """Try an effect again later."""
        self.connection.execute(
            update(tables.outbox)
            .where(tables.outbox.c.id == id_)
            .values(attempts=tables.outbox.c.attempts + 1, due_at=until, claimed=False)
        )

    def next_due(self, now: datetime) -> datetime | None:
        """When the next effect after now falls due. What is due and not claimed waits for an answer, not for a time."""
        due_at = tables.outbox.c.due_at
        return self.connection.execute(select(func.min(due_at)).where(due_at > now)).scalar()

    def release_all(self, now: datetime) -> None:
        """Let go of every claim: at the start of a process that shares its database with no other."""
        self.connection.execute(update(tables.outbox).where(tables.outbox.c.claimed).values(claimed=False, due_at=now))
