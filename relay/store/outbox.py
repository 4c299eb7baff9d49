"""The outbox: what is to be asked of the world. A row goes in with the decision that asked for it."""

import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from sqlalchemy import BigInteger, Connection, and_, bindparam, delete, exists, insert, or_, select, update

from relay.incident.effects import AcknowledgePage, Effect, Measure, Page, ResolvePage, UpdatePage
from relay.store import tables
from relay.store.encoding import is_known, read_effect, write_effect
from relay.store.prepared import Prepared, at, moment
from relay.store.tables import EPOCH

_INSERT = Prepared(
    insert(tables.outbox),
    ("ref", "incident", "kind", "target", "key", "severity", "body", "created_at", "due_at", "attempts", "claimed"),
)
_row, _earlier = tables.outbox.c, tables.outbox.alias("earlier")
_NOW = bindparam("now", type_=BigInteger)
_DUE = (
    select(tables.outbox)
    .where(
        _row.due_at <= _NOW,
        or_(_row.key == "", ~exists().where(_earlier.c.key == _row.key, _earlier.c.id < _row.id)),
    )
    .order_by(_row.severity, _row.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_CLAIMABLE = Prepared(_DUE)
_CLAIMABLE_BUT = Prepared(_DUE.where(_row.target.not_in(bindparam("full", expanding=True))))
_CLAIM = Prepared(
    update(tables.outbox)
    .where(_row.id.in_(bindparam("ids", expanding=True)))
    .values(due_at=bindparam("until", type_=BigInteger), claimed=True)
)
_LAPSED = Prepared(select(_row.id).where(_row.due_at <= _NOW, _row.claimed, _row.key != ""))
_UNCLAIMED = Prepared(select(_row.id).where(_row.due_at <= _NOW, _row.claimed.is_(False)).limit(1))
_DONE = Prepared(delete(tables.outbox).where(_row.ref.in_(bindparam("refs", expanding=True))).returning(_row.ref))
_ALL_OF_A_PAGE = ("Page", "UpdatePage", "AcknowledgePage")

Room = Callable[[str], int]
"""How many more errands a target can take now."""


@dataclass(frozen=True, slots=True)
class Errand:
    """An effect that a process holds a claim on, until the end of its lease."""

    ref: int
    incident: str
    effect: Effect
    attempts: int
    created_at: datetime


LEFT_TO_OTHERS = timedelta(seconds=1)
"""For how long what only a newer Relay can carry out is left alone: one that runs beside this one takes it."""


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
        over = {effect.key for effect in closing if isinstance(effect, ResolvePage)}
        spoken_of = {effect.key for effect in closing}
        rows, claimed, left = [], [], False
        taken: Counter[str] = Counter()
        for incident, severity, effect in sorted(asked, key=itemgetter(1)):
            if effect.key in over and not isinstance(effect, ResolvePage):
                continue
            errand = Errand(random.getrandbits(63), incident, effect, 0, now)
            fresh = isinstance(effect, Page | Measure) and effect.key not in spoken_of
            mine = fresh and taken[effect.target] < room(effect.target)
            if mine:
                taken[effect.target] += 1
                claimed.append(errand)
            left = left or not mine
            rows.append(_write(errand, severity, now + lease if mine else now, claimed=mine))
        _INSERT.many(self.connection, rows)
        return claimed, left

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
        taken: Counter[str] = Counter()
        rows, strange = [], []
        self._let_go(now)
        when = {"now": moment(now), "most": limit}
        found = (
            _CLAIMABLE_BUT.run(self.connection, **when, full=sorted(full))
            if full
            else _CLAIMABLE.run(self.connection, **when)
        )
        for row in found:
            if not is_known(row.kind):
                strange.append(row.id)
                continue
            taken[row.target] += 1
            if taken[row.target] <= room(row.target):
                rows.append(row)
        if strange:
            _CLAIM.run(self.connection, ids=strange, until=moment(now + LEFT_TO_OTHERS))
        if rows:
            _CLAIM.run(self.connection, ids=[row.id for row in rows], until=moment(now + lease))
        return [
            Errand(row.ref, row.incident, read_effect(row.kind, row.body), row.attempts, at(row.created_at) or EPOCH)
            for row in rows
        ]

    def _let_go(self, now: datetime) -> None:
        """Forget messages whose sender is gone, about pages that are over by now: the end alone is still to be told."""
        lapsed = [row.id for row in _LAPSED.run(self.connection, now=moment(now))]
        if lapsed:
            row, end = tables.outbox.c, tables.outbox.alias("end")
            over = exists().where(end.c.key == row.key, end.c.id > row.id, end.c.kind == "ResolvePage")
            self.connection.execute(delete(tables.outbox).where(row.id.in_(lapsed), over))

    def unclaimed(self, now: datetime) -> bool:
        """Whether something is due that nobody holds a claim on."""
        return bool(_UNCLAIMED.run(self.connection, now=moment(now)))

    def done(self, refs: Iterable[int]) -> set[int]:
        """Forget what was carried out or given up; gives those that were still there to forget."""
        return {row.ref for row in _DONE.run(self.connection, refs=list(refs))}

    def postpone(self, ref: int, until: datetime) -> None:
        """Try an effect again later; what was to be said of a page that is over by now is not said again."""
        row, end = tables.outbox.c, tables.outbox.alias("end")
        over = exists().where(end.c.key == row.key, end.c.id > row.id, end.c.kind == "ResolvePage")
        self.connection.execute(delete(tables.outbox).where(row.ref == ref, row.key != "", over))
        self.connection.execute(
            update(tables.outbox)
            .where(tables.outbox.c.ref == ref)
            .values(attempts=tables.outbox.c.attempts + 1, due_at=until, claimed=False)
        )

    def release_all(self, now: datetime) -> None:
        """Let go of every claim: at the start of a process that shares its database with no other."""
        self.connection.execute(update(tables.outbox).where(tables.outbox.c.claimed).values(claimed=False, due_at=now))


def _write(errand: Errand, severity: int, due_at: datetime, *, claimed: bool) -> dict[str, Any]:
    return {
        "ref": errand.ref,
        "incident": errand.incident,
        "kind": type(errand.effect).__name__,
        "target": errand.effect.target,
        "key": errand.effect.key,
        "severity": severity,
        "body": write_effect(errand.effect),
        "created_at": moment(errand.created_at),
        "due_at": moment(due_at),
        "attempts": errand.attempts,
        "claimed": claimed,
    }
