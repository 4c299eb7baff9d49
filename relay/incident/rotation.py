"""Rotations: people who take turns. Section `rotations:`.

Turns are counted on wall clocks: a handover at 09:00 stays at 09:00 over a change to summer time. A rotation that
changes keeps its past: each change begins with a handover, and goes on after whoever has the turn before it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from relay.config.types import Date, Day, Duration, Placed, TimeOfDay, Zone, to_utc

DAY, WEEK = timedelta(days=1), timedelta(weeks=1)
_MOMENT = timedelta(microseconds=1)
_WHOLE = "write whole days or weeks, such as 1d, 1w or 2w"


class Handover(Placed):
    """When one person takes over from the next."""

    day: Day = 0
    at: TimeOfDay = time(9)


class Change(Placed):
    """From the first handover on or after a day, people take turns otherwise. What is left out stays as it was."""

    starts: Date
    people: tuple[str, ...] = Field(default=(), json_schema_extra={"minItems": 1})
    every: Duration | None = None
    handover: Handover | None = None
    first: str = ""
    """Who has the first turn; else whoever comes after the last one before the change."""

    @model_validator(mode="after")
    def _changes_something(self) -> "Change":
        if not (self.people or self.every or self.handover):
            raise ValueError('write what changes: "people", "every" or "handover"')
        if self.every is not None and not _is_whole(self.every):
            raise ValueError(f'"every": {_WHOLE}')
        return self


class Rotation(Placed):
    """People who take turns."""

    zone: Zone
    starts: Date
    """The first turn begins at the first handover on or after this day."""
    ends: Date | None = None
    every: Duration = WEEK
    handover: Handover = Handover()
    people: tuple[str, ...] = Field(min_length=1)
    changes: tuple[Change, ...] = ()

    @field_validator("every")
    @classmethod
    def _whole_days(cls, every: timedelta) -> timedelta:
        if not _is_whole(every):
            raise ValueError(_WHOLE)
        return every

    @model_validator(mode="after")
    def _consistent(self) -> "Rotation":
        for every, handover in self._ways():
            if every % WEEK and "day" in handover.model_fields_set:
                raise ValueError('a rotation by days has no day of the week: remove "day", or write "every" in weeks')
        starts = [self.starts, *(change.starts for change in self.changes)]
        if starts != sorted(set(starts)):
            raise ValueError("write changes in their order, each of a later day than the one before")
        if self.ends and self.ends <= self.starts:
            raise ValueError('"ends" must be later than "starts"')
        people = self.people
        for change in self.changes:
            people = change.people or people
            if change.first and change.first not in people:
                raise ValueError(f'the first turn after {change.starts} is of "{change.first}", who is not among them')
        return self

    def _ways(self) -> Iterator[tuple[timedelta, Handover]]:
        every, handover = self.every, self.handover
        yield every, handover
        for change in self.changes:
            every, handover = change.every or every, change.handover or handover
            yield every, handover

    @cached_property
    def versions(self) -> tuple["Version", ...]:
        """How people took turns from when on, the oldest first."""
        day = _first_day(self.starts, self.every, self.handover)
        versions = [Version(self.people, self.every, self.handover, self.zone, day, 0)]
        for change in self.changes:
            versions = _change(versions, change)
        return tuple(versions)

    @property
    def end(self) -> datetime | None:
        """When the last turn ends, if ever: with the handover hour of the day `ends`."""
        return to_utc(datetime.combine(self.ends, self.versions[-1].handover.at), self.zone) if self.ends else None


@dataclass(frozen=True)
class Version:
    """One way of taking turns, of a rotation that changes."""

    people: tuple[str, ...]
    every: timedelta
    handover: Handover
    zone: ZoneInfo
    day: date
    """Of its first handover."""
    shift: int
    """The position, in `people`, of who has the first turn."""

    @cached_property
    def begins(self) -> datetime:
        """Its first handover."""
        return self.starts(0)

    @cached_property
    def _computed(self) -> dict[int, datetime]:
        """Starts of turns by number: every page asks for the same few."""
        return {}

    def starts(self, number: int) -> datetime:
        """When a turn begins, counted from 0."""
        found = self._computed.get(number)
        if found is None:
            local = datetime.combine(self.day + number * self.every, self.handover.at)
            found = self._computed[number] = to_utc(local, self.zone)
        return found

    def number(self, now: datetime) -> int:
        """The turn of a moment."""
        local = now.astimezone(self.zone).date()
        number = (local - self.day) // self.every + 1  # where clocks go back over midnight, tomorrow has begun already
        while now < self.starts(number):
            number -= 1
        return number

    def person(self, number: int) -> str:
        """Whose turn it is."""
        return self.people[(number + self.shift) % len(self.people)]


@dataclass(frozen=True, slots=True)
class Turn:
    """One person's time."""

    version: Version
    number: int
    starts: datetime
    ends: datetime

    @property
    def person(self) -> str:
        """Whose time it is."""
        return self.version.person(self.number)

    def others(self, step: int = 1) -> list[str]:
        """Who else could stand in: the next ones first, or the last ones (`step` -1)."""
        people = [self.version.person(self.number + step * i) for i in range(1, len(self.version.people))]
        return [person for person in dict.fromkeys(people) if person != self.person]


def turn_at(rotation: Rotation, now: datetime) -> Turn | None:
    """The turn of a moment; None outside the rotation's time."""
    end = rotation.end
    if end is not None and now >= end:
        return None
    turn = _turn(rotation.versions, now)
    return Turn(turn.version, turn.number, turn.starts, min(turn.ends, end)) if turn and end else turn


def turn_beside(rotation: Rotation, turn: Turn, offset: int) -> Turn:
    """The turn so many after (or, below 0, before) another, as if the rotation had neither beginning nor end."""
    for _ in range(abs(offset)):
        beside = _turn(rotation.versions, turn.ends if offset > 0 else turn.starts - _MOMENT)
        if beside is None:
            number = turn.number - 1
            beside = Turn(turn.version, number, turn.version.starts(number), turn.starts)
        turn = beside
    return turn


def turns(rotation: Rotation, since: datetime, until: datetime) -> Iterator[Turn]:
    """Every turn that overlaps a span, in order."""
    turn = turn_at(rotation, max(since, rotation.versions[0].begins))
    while turn and turn.starts < until:
        yield turn
        turn = turn_at(rotation, turn.ends)


def _turn(versions: "tuple[Version, ...] | list[Version]", now: datetime) -> Turn | None:
    for i in reversed(range(len(versions))):
        version = versions[i]
        if version.begins <= now:
            number = version.number(now)
            ends = version.starts(number + 1)
            if i + 1 < len(versions):
                ends = min(ends, versions[i + 1].begins)
            return Turn(version, number, version.starts(number), ends)
    return None


def _change(versions: list[Version], change: Change) -> list[Version]:
    old = versions[-1]
    people = change.people or old.people
    every, handover = change.every or old.every, change.handover or old.handover
    if change.every or change.handover:
        day = _first_day(change.starts, every, handover)
    else:  # the handovers stay where they are
        day = old.day + max(0, -((old.day - change.starts) // every)) * every
    begins = to_utc(datetime.combine(day, handover.at), old.zone)
    past = [version for version in versions if version.begins < begins]  # one that has not begun by then never does
    last = _turn(past, begins - _MOMENT)
    shift = people.index(change.first) if change.first else _next(last, people) if last else 0
    return [*past, Version(people, every, handover, old.zone, day, shift)]


def _next(last: Turn, people: tuple[str, ...]) -> int:
    """The position of whoever comes after the last one; who has left is passed over."""
    old = last.version.people
    position = (last.number + last.version.shift) % len(old)
    if people[position % len(people)] == last.person:
        return (position + 1) % len(people)
    if last.person in people:
        return (people.index(last.person) + 1) % len(people)
    coming = (old[(position + i) % len(old)] for i in range(1, len(old)))
    return next((people.index(person) for person in coming if person in people), 0)


def _first_day(starts: date, every: timedelta, handover: Handover) -> date:
    if every % WEEK:
        return starts  # a rotation by days has no day of the week
    return starts + timedelta(days=(handover.day - starts.weekday()) % 7)


def _is_whole(every: timedelta) -> bool:
    return every >= DAY and not every % DAY
