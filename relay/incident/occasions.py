"""Occasions: when exactly a window is open, from what recurs on wall clocks.

A start in the hour that spring skips is moved on by the gap; in the hour that autumn repeats, a start is its first pass
and an end its last. A length is elapsed time: three hours are three hours, whatever clocks do meanwhile.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import chain
from typing import NamedTuple, Protocol

from relay.config.types import to_utc
from relay.incident.recurrence import Starts

_DAY = timedelta(days=1)
_AHEAD = (timedelta(days=2), timedelta(days=40), timedelta(days=400))
"""How far the next occasion is looked for; what comes later is found when its time is nearer."""


class Occasion(NamedTuple):
    """Once that a window is open: from `starts` to just before `ends`, in UTC."""

    starts: datetime
    ends: datetime


class WholeDays(NamedTuple):
    """A length on the calendar: it ends at the time of day at which it has begun, whatever clocks do meanwhile."""

    days: int


Length = timedelta | time | WholeDays
"""Elapsed time; the time of day at which it ends, at or before its start that of the next day; or whole days."""


def lasting(wall: datetime, zone: tzinfo, length: Length) -> Occasion:
    """Give the occasion that starts at a wall time."""
    starts = to_utc(wall, zone)
    if isinstance(length, timedelta):
        return Occasion(starts, starts + length)
    if isinstance(length, WholeDays):
        return Occasion(starts, to_utc(wall + length.days * _DAY, zone, end=True))
    day = wall.date() + (_DAY if length <= wall.time() else timedelta())
    return Occasion(starts, to_utc(datetime.combine(day, length), zone, end=True))


class Occasions(Protocol):
    """Every time that something is open."""

    def between(self, after: datetime, before: datetime) -> Iterable[Occasion]:
        """Give occasions that end after an instant and start before another, in any order."""
        ...


@dataclass(frozen=True, slots=True)
class Once:
    """What comes one time."""

    occasion: Occasion

    def between(self, after: datetime, before: datetime) -> Iterator[Occasion]:
        """Give occasions that end after an instant and start before another, in any order."""
        if after < self.occasion.ends and self.occasion.starts < before:
            yield self.occasion


@dataclass(frozen=True, slots=True)
class Series:
    """What comes round, with exceptions and additions, and how long each time lasts."""

    zone: tzinfo
    starts: Starts
    length: Length
    besides: tuple[datetime, ...] = ()
    """Wall times of more starts."""
    but_not: frozenset[date | datetime] = frozenset()
    """Days, and wall times of starts, that are left out."""
    not_before: datetime | None = None
    not_after: datetime | None = None
    """Instants that bound the starts."""

    def between(self, after: datetime, before: datetime) -> Iterator[Occasion]:
        """Give occasions that end after an instant and start before another, in any order."""
        first = after.astimezone(self.zone).replace(tzinfo=None) - self._longest - _DAY
        last = before.astimezone(self.zone).replace(tzinfo=None) + _DAY
        besides = [start for start in self.besides if first <= start < last]
        for wall in chain(besides, (start for start in self.starts.between(first, last) if start not in besides)):
            occasion = lasting(wall, self.zone, self.length)
            if not self._left_out(wall, occasion) and after < occasion.ends and occasion.starts < before:
                yield occasion

    @property
    def _longest(self) -> timedelta:
        if isinstance(self.length, timedelta):
            return self.length
        return self.length.days * _DAY if isinstance(self.length, WholeDays) else _DAY

    def _left_out(self, wall: datetime, occasion: Occasion) -> bool:
        if wall in self.but_not or wall.date() in self.but_not or occasion.starts >= occasion.ends:
            return True
        too_early = self.not_before is not None and occasion.starts < self.not_before
        return too_early or (self.not_after is not None and occasion.starts >= self.not_after)


@dataclass(frozen=True, slots=True)
class Amended:
    """Occasions of which the one that was open at a time ends at another time than planned: earlier, or later."""

    occasions: Occasions
    open_at: datetime
    ends: datetime

    def between(self, after: datetime, before: datetime) -> Iterator[Occasion]:
        """Give occasions that end after an instant and start before another, in any order."""
        begin = min(after, self.open_at) if self.ends > after else after
        for starts, ends in self.occasions.between(begin, before):
            ends = self.ends if starts <= self.open_at < ends else ends
            if after < ends:
                yield Occasion(starts, ends)


class State(NamedTuple):
    """How things stand until an edge: until when it is open, or None; and its next start, where one is near."""

    until: datetime | None
    edge: datetime


def state(series: Sequence[Occasions], now: datetime, grace: timedelta = timedelta()) -> State:
    """Say whether one of several series is open, until when, and when that has to be looked at again.

    `grace` is how much later it ends.
    """
    for ahead in _AHEAD:
        found = sorted(occasion for one in series for occasion in one.between(now - grace, now + ahead))
        until = max((occasion.ends + grace for occasion in found if occasion.starts <= now), default=None)
        next_ = next((occasion.starts for occasion in found if occasion.starts > now), None)
        edge = min((at for at in (until, next_) if at is not None), default=None)
        if edge is not None and edge <= now + ahead:
            return State(until, edge)
    return State(until, now + ahead)
