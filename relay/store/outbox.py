"""The outbox: what is to be asked of the world. A row goes in with the decision that asked for it."""

import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from operator import itemgetter
from typing import Any

import structlog
from sqlalchemy import (
    BigInteger,
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    type_coerce,
    update,
)

from relay.incident.effects import AcknowledgePage, Effect, Measure, Page, ResolvePage, UpdatePage
from relay.store import tables
from relay.store.encoding import KINDS, read_effect, write_effect
from relay.store.prepared import Prepared, at, moment
from relay.store.tables import EPOCH, MICROSECOND

log = structlog.get_logger()

_INSERT = Prepared(
    insert(tables.outbox),
    ("ref", "incident", "kind", "target", "key", "severity", "body", "created_at", "due_at", "attempts", "claimed"),
)
_row, _earlier, _end = tables.outbox.c, tables.outbox.alias("earlier"), tables.outbox.alias("end")
_OVER = exists().where(_end.c.key == _row.key, _end.c.id > _row.id, _end.c.kind == "ResolvePage")
"""Whether the end of the page is to be told: then nothing else is said of it any more."""
_ANSWERED = and_(
    _row.kind.in_(("Page", "UpdatePage")),
    exists().where(_end.c.key == _row.key, _end.c.id > _row.id, _end.c.kind == "AcknowledgePage"),
)
"""Whether it is to be told that somebody has answered: then nobody is rung any more."""
_NOW = bindparam("now", type_=BigInteger)
_first = select(func.min(_row.target).label("target")).cte("some", recursive=True)
_TARGETS = Prepared(
    select(
        _first.union_all(
            select(select(func.min(_row.target)).where(_row.target > _first.c.target).scalar_subquery()).where(
                _first.c.target.is_not(None)
            )
        )
    )
)
"""Who is to be asked anything, jumping from one to the next in `outbox_of_target`: each may have many rows."""
_KNOWN = _row.kind.in_(sorted(KINDS))
_CLAIMABLE = Prepared(
    select(tables.outbox)
    .where(
        _row.target == bindparam("target"),
        _row.due_at <= _NOW,
        _KNOWN,
        or_(_row.key == "", ~exists().where(_earlier.c.key == _row.key, _earlier.c.id < _row.id)),
    )
    .order_by(_row.severity, _row.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_CLAIM = Prepared(
    update(tables.outbox)
    .where(_row.id.in_(bindparam("ids", expanding=True)))
    .values(due_at=bindparam("until", type_=BigInteger), claimed=True)
)
_RENEW = Prepared(
    update(tables.outbox)
    .where(_row.ref.in_(bindparam("refs", expanding=True)), _row.claimed)
    .values(due_at=bindparam("until", type_=BigInteger))
)
_LAPSED = Prepared(select(_row.id).where(_row.due_at <= _NOW, _row.claimed, _row.key != ""))
_UNCLAIMED = Prepared(select(_row.id).where(_row.due_at <= _NOW, _row.claimed.is_(False), _KNOWN).limit(1))
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
    until: datetime


SICK_FOR = timedelta(minutes=1)
"""How long a row is left alone that cannot be read."""


class Left(IntEnum):
    """What nobody holds a claim on."""

    NOTHING = 0
    FULL = 1
    """It waits until its target has room, or an earlier message about its page is done."""
    CLAIMABLE = 2
    """It can be claimed, as far as is known."""


@dataclass(frozen=True, slots=True)
class Outbox:
    """The outbox of one transaction."""

    connection: Connection

    def add(
        self, asked: Sequence[tuple[str, int, Effect]], now: datetime, lease: timedelta, room: Room
    ) -> tuple[list[Errand], Left]:
        """Take in effects, each with its incident and the incident's severity.

        Gives those that the caller holds a claim on at once, because they are new and their target has room, the most
        severe first; and what was left: see `Left`.

        What closes or changes a page takes the place of what was still to be said of that page, unless it is being
        said at this moment: so nobody is rung for a thing that is over before the message left.
        """
        closing = [effect for _, _, effect in asked if isinstance(effect, UpdatePage | AcknowledgePage | ResolvePage)]
        if closing:
            self._overtake(now, [e.key for e in closing if isinstance(e, ResolvePage)], _ALL_OF_A_PAGE)
            self._overtake(now, [e.key for e in closing if isinstance(e, AcknowledgePage)], ("Page", "UpdatePage"))
            self._overtake(now, [e.key for e in closing if isinstance(e, UpdatePage)], ("UpdatePage",))
        over = {effect.key for effect in closing if isinstance(effect, ResolvePage)}
        unsaid = {effect.key for _, _, effect in asked if isinstance(effect, Page)}  # nobody knows of it yet
        spoken_of = {e.key for e in closing if not (isinstance(e, UpdatePage) and e.key in unsaid)}
        rows, claimed, left = [], [], Left.NOTHING
        taken: dict[str, int] = defaultdict(int)
        for incident, severity, effect in sorted(_folded(asked, unsaid), key=itemgetter(1)):
            if effect.key in over and (effect.key in unsaid or not isinstance(effect, ResolvePage)):
                continue
            errand = Errand(random.getrandbits(63), incident, effect, 0, now, now + lease)
            fresh = isinstance(effect, Page | Measure) and effect.key not in spoken_of
            mine = fresh and taken[effect.target] < room(effect.target)
            if mine:
                taken[effect.target] += 1
                claimed.append(errand)
            left = max(left, Left.NOTHING if mine else Left.FULL if fresh else Left.CLAIMABLE)
            rows.append(_write(errand, severity, errand.until if mine else now, claimed=mine))
        _INSERT.many(self.connection, rows)
        return claimed, left

    def renew(self, under_way: Iterable[Errand], now: datetime, lease: timedelta) -> None:
        """Hold on to what this process is carrying out, though by this clock its claim has ended: the clock was set.

        Else it would be claimed twice, or overtaken, while it is on its way.
        """
        if ended := [errand.ref for errand in under_way if errand.until <= now]:
            _RENEW.run(self.connection, refs=ended, until=moment(now + lease))

    def _overtake(self, now: datetime, keys: list[str], kinds: tuple[str, ...]) -> None:
        if keys:
            row = tables.outbox.c
            unsaid = and_(row.key.in_(keys), row.kind.in_(kinds), or_(row.claimed.is_(False), row.due_at <= now))
            self.connection.execute(delete(tables.outbox).where(unsaid))

    def claim(self, now: datetime, lease: timedelta, limit: int, room: Room, full: Collection[str]) -> list[Errand]:
        """Take what is due, the most severe first; messages about one page keep their order.

        A target is given no more than it has room for; those in `full` have none. What is claimed falls due again at
        the end of the lease. What only a newer Relay can carry out is left to one that runs beside this one.
        """
        self._let_go(now)
        found: list[Any] = []
        for row in _TARGETS.run(self.connection):
            if row.target is not None and row.target not in full and (most := min(limit, room(row.target))) > 0:
                found += _CLAIMABLE.run(self.connection, target=row.target, now=moment(now), most=most)
        found = sorted(found, key=lambda row: (row.severity, row.id))[:limit]
        errands, sick = [], []
        for row in found:
            try:
                effect = read_effect(row.kind, row.body)
            except ValueError:
                sick.append(row.id)
                log.exception("an errand cannot be read, and is left alone for a minute", ref=row.ref, kind=row.kind)
                continue
            created_at = at(row.created_at) or EPOCH
            errands.append(Errand(row.ref, row.incident, effect, row.attempts, created_at, now + lease))
        self._claim([row.id for row in found if row.id not in sick], now + lease)
        self._claim(sick, now + SICK_FOR)
        return errands

    def _claim(self, ids: list[int], until: datetime) -> None:
        if ids:
            _CLAIM.run(self.connection, ids=ids, until=moment(until))

    def _let_go(self, now: datetime) -> None:
        """Forget messages whose sender is gone, about pages that are over by now: the end alone is still to be told."""
        lapsed = [row.id for row in _LAPSED.run(self.connection, now=moment(now))]
        if lapsed:
            self.connection.execute(delete(tables.outbox).where(_row.id.in_(lapsed), _OVER))

    def unclaimed(self, now: datetime) -> bool:
        """Whether something is due that nobody holds a claim on."""
        return bool(_UNCLAIMED.run(self.connection, now=moment(now)))

    def done(self, refs: Iterable[int]) -> set[int]:
        """Forget what was carried out or given up; gives those that were still there to forget."""
        return {row.ref for row in _DONE.run(self.connection, refs=list(refs))}

    def forget_news(self, keys: Iterable[str]) -> None:
        """Forget what was still to be said of pages that were refused: to some providers, news of a page opens it."""
        if refused := list(keys):
            row = tables.outbox.c
            news = row.kind.in_(("UpdatePage", "AcknowledgePage"))
            self.connection.execute(delete(tables.outbox).where(row.key.in_(refused), news))

    def postpone(self, ref: int, until: datetime) -> None:
        """Try an effect again later; what was to be said of a page that is over, or answered, by now is not."""
        self.connection.execute(delete(tables.outbox).where(_row.ref == ref, _row.key != "", or_(_OVER, _ANSWERED)))
        self.connection.execute(
            update(tables.outbox)
            .where(tables.outbox.c.ref == ref)
            .values(attempts=tables.outbox.c.attempts + 1, due_at=until, claimed=False)
        )

    def bring_forward(self, by: timedelta, now: datetime) -> None:
        """Let everything that is due later be due sooner."""
        row = tables.outbox.c
        sooner = type_coerce(row.due_at, BigInteger) - by // MICROSECOND
        self.connection.execute(update(tables.outbox).where(row.due_at > now).values(due_at=sooner))

    def release_all(self, now: datetime) -> None:
        """Let go of every claim: at the start of a process that shares its database with no other."""
        self.connection.execute(delete(tables.outbox).where(_row.claimed, _row.key != "", _OVER))
        self.connection.execute(update(tables.outbox).where(tables.outbox.c.claimed).values(claimed=False, due_at=now))


def _folded(asked: Sequence[tuple[str, int, Effect]], unsaid: Collection[str]) -> list[tuple[str, int, Effect]]:
    """Let a page that nobody knows of yet say at once what was to be said of it next: news must not go before it."""
    news = {e.key: (severity, e.notice) for _, severity, e in asked if isinstance(e, UpdatePage) and e.key in unsaid}
    if not news:
        return list(asked)
    folded: list[tuple[str, int, Effect]] = []
    for incident, severity, effect in asked:
        worst, notice = news.get(effect.key, (severity, None))
        if notice is not None and isinstance(effect, Page):
            folded.append((incident, worst, replace(effect, notice=notice)))
        elif notice is None or not isinstance(effect, UpdatePage):
            folded.append((incident, severity, effect))
    return folded


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
