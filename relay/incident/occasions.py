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
from relay.incident.recurrence import Rule, Starts

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
        after_start = after if self.not_before is None else max(after, self.not_before)
        last_start = before if self.not_after is None else min(before, self.not_after)
        first = after_start.astimezone(self.zone).replace(tzinfo=None) - self._longest - _DAY
        last = last_start.astimezone(self.zone).replace(tzinfo=None) + _DAY
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
        return not self._in_bounds(occasion.starts)

    def _in_bounds(self, start: datetime) -> bool:
        too_early = self.not_before is not None and start < self.not_before
        return not too_early and (self.not_after is None or start < self.not_after)

    def idle(self) -> Iterator[tuple[str, str]]:
        """What is written, and does nothing: each with what to do about it."""
        for left_out in sorted(self.but_not, key=str):
            day = datetime.combine(left_out, time())
            starts = {*self.starts.between(day, day + _DAY), *self.besides}
            if left_out not in starts | {start.date() for start in starts}:
                yield f'"except" of {left_out} meets no start', "see when it opens, or remove it"
        for more in self.besides:
            if not self._in_bounds(to_utc(more, self.zone)):
                yield f'"also" of {more} is not between "starts" and "ends"', "move or remove it"
        if isinstance(self.starts, Rule) and not self.starts.begins_with_first():
            yield '"starts" is not on the rule: it opens later', "write the first time of the rule"


class Amendment(NamedTuple):
    """What is open at a time ends at another time than planned: earlier, or later."""

    open_at: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class Amended:
    """Occasions some of which end at another time than planned."""

    occasions: Occasions
    amendments: tuple[Amendment, ...]
    """In the order in which they were made: a later one goes by what those before it have made of an occasion."""
    grace: timedelta
    """How much later than its end an occasion can still be amended."""

    def between(self, after: datetime, before: datetime) -> Iterator[Occasion]:
        """Give occasions that end after an instant and start before another, in any order."""
        begin = after
        for one in reversed(self.amendments):
            begin = min(begin, one.open_at - self.grace) if one.ends > begin else begin
        for starts, ends in self.occasions.between(begin, before):
            for open_at, instead in self.amendments:
                ends = instead if starts <= open_at < ends + self.grace else ends
            if after < ends and starts < ends:
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
