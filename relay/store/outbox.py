"""The outbox: what is to be asked of the world. A row goes in with the decision that asked for it."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, exists, func, insert, or_, select, update

from relay.incident.effects import AcknowledgePage, Effect, Measure, Page, ResolvePage, UpdatePage
from relay.store import tables
from relay.store.batches import Batch, moment
from relay.store.encoding import read_effect, write_effect


_INSERT = Batch(
    insert(tables.outbox),
    ("incident", "kind", "target", "key", "severity", "body", "created_at", "due_at", "attempts", "claimed"),
)


_INSERT_CLAIMED = insert(tables.outbox).returning(tables.outbox.c.id, sort_by_parameter_order=True)
_NOW = bindparam("now", type_=tables.Moment)
_earlier = tables.outbox.alias("earlier")
_CLAIMABLE = (
    select(tables.outbox)
    .where(
        tables.outbox.c.due_at <= _NOW,
        or_(
            tables.outbox.c.key == "",
            ~exists().where(_earlier.c.key == tables.outbox.c.key, _earlier.c.id < tables.outbox.c.id),
        ),
    )
    .order_by(tables.outbox.c.severity, tables.outbox.c.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_LAPSED = select(tables.outbox.c.id).where(
    tables.outbox.c.due_at <= _NOW, tables.outbox.c.claimed, tables.outbox.c.key != ""
)
_UNCLAIMED = (
    select(tables.outbox.c.id).where(tables.outbox.c.due_at <= _NOW, tables.outbox.c.claimed.is_(False)).limit(1)
)
_ALL_OF_A_PAGE = ("Page", "UpdatePage", "AcknowledgePage")

Room = Callable[[str], int]
"""How many more errands a target can take now."""


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

    def add(
        self, asked: Sequence[tuple[str, int, Effect]], now: datetime, lease: timedelta, room: Room
    ) -> tuple[list[Errand], bool]:
        """Take in effects, each with its incident and the incident's severity.

        Gives those that the caller holds a claim on at once, because they are new and their target has room, the most
        severe first; and whether others were left to be claimed.

        What closes or changes a page takes the place of what was still to be said of that page, unless it is being
        said at this moment: so nobody is rung for a thing that is over before the message left.
        """
        closing = [effect for _, _, effect in asked if isinstance(effect, UpdatePage | AcknowledgePage | ResolvePage)]
        if closing:
            self._overtake(now, [e.key for e in closing if isinstance(e, ResolvePage)], _ALL_OF_A_PAGE)
            self._overtake(now, [e.key for e in closing if isinstance(e, AcknowledgePage)], ("Page", "UpdatePage"))
            self._overtake(now, [e.key for e in closing if isinstance(e, UpdatePage)], ("UpdatePage",))
        closed = {effect.key for effect in closing}
        mine: list[tuple[str, int, Effect]] = []
        rest: list[tuple[str, int, Effect]] = []
        taken: Counter[str] = Counter()
        for item in sorted(asked, key=itemgetter(1)):
            effect = item[2]
            first = isinstance(effect, Page | Measure) and effect.key not in closed
            if first and taken[effect.target] < room(effect.target):
                taken[effect.target] += 1
                mine.append(item)
            else:
                rest.append(item)
        _INSERT.send(self.connection, [_row(*item, now, now, claimed=False) for item in rest])
        return self._add_claimed(mine, now, lease), bool(rest)

    def _add_claimed(self, asked: list[tuple[str, int, Effect]], now: datetime, lease: timedelta) -> list[Errand]:
        if not asked:
            return []
        rows = [_row(*item, now, now + lease, claimed=True) for item in asked]
        ids = self.connection.execute(_INSERT_CLAIMED, rows).scalars().all()
        return [Errand(id_, incident, effect, 0, now) for id_, (incident, _, effect) in zip(ids, asked, strict=True)]

    def _overtake(self, now: datetime, keys: list[str], kinds: tuple[str, ...]) -> None:
        if keys:
            row = tables.outbox.c
            unsaid = and_(row.key.in_(keys), row.kind.in_(kinds), or_(row.claimed.is_(False), row.due_at <= now))
            self.connection.execute(delete(tables.outbox).where(unsaid))

    def claim(self, now: datetime, lease: timedelta, limit: int, room: Room, full: Collection[str]) -> list[Errand]:
        """Take what is due, the most severe first; messages about one page keep their order.

        A target is given no more than it has room for; those in `full` have none. What is claimed falls due again at
        the end of the lease.
        """
        row = tables.outbox.c
        query = _CLAIMABLE.where(row.target.not_in(sorted(full))) if full else _CLAIMABLE
        taken: Counter[str] = Counter()
        rows = []
        self._let_go(now)
        for found in self.connection.execute(query, {"now": now, "most": limit}).all():
            taken[found.target] += 1
            if taken[found.target] <= room(found.target):
                rows.append(found)
        if rows:
            mine = row.id.in_([r.id for r in rows])
            self.connection.execute(update(tables.outbox).where(mine).values(due_at=now + lease, claimed=True))
        return [Errand(r.id, r.incident, read_effect(r.kind, r.body), r.attempts, r.created_at) for r in rows]

    def _let_go(self, now: datetime) -> None:
        """Forget messages whose sender is gone, about pages that are over by now: the end alone is still to be told."""
        lapsed = list(self.connection.execute(_LAPSED, {"now": now}).scalars())
        if lapsed:
            row, end = tables.outbox.c, tables.outbox.alias("end")
            over = exists().where(end.c.key == row.key, end.c.id > row.id, end.c.kind == "ResolvePage")
            self.connection.execute(delete(tables.outbox).where(row.id.in_(lapsed), over))

    def unclaimed(self, now: datetime) -> bool:
        """Whether something is due that nobody holds a claim on."""
        return self.connection.execute(_UNCLAIMED, {"now": now}).first() is not None

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

    def release_all(self, now: datetime) -> None:
        """Let go of every claim: at the start of a process that shares its database with no other."""
        self.connection.execute(update(tables.outbox).where(tables.outbox.c.claimed).values(claimed=False, due_at=now))


def _row(
    incident: str, severity: int, effect: Effect, now: datetime, due_at: datetime, *, claimed: bool
) -> dict[str, Any]:
    return {
        "incident": incident,
        "kind": type(effect).__name__,
        "target": effect.target,
        "key": effect.key,
        "severity": severity,
        "body": write_effect(effect),
        "created_at": now if claimed else moment(now),
        "due_at": due_at if claimed else moment(due_at),
        "attempts": 0,
        "claimed": claimed,
    }
