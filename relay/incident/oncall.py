"""On-call: who it is, at any moment. Sections `people:`, `rotations:` and `overrides:`.

A rotation is counted on wall clocks: a handover at 09:00 stays at 09:00 over a change to summer time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from pydantic import Field, field_validator, model_validator

from relay.config.types import Date, Day, Duration, Moment, Placed, TimeOfDay, Zone, to_utc

_DAY = timedelta(days=1)


class Person(Placed):
    """Somebody who can be paged: through the target `via`, which may know them as `user`."""

    name: str = ""
    via: str
    user: str = ""


class Handover(Placed):
    """When one person takes over from the next."""

    day: Day = 0
    at: TimeOfDay = time(9)


class Rotation(Placed):
    """People who take turns."""

    zone: Zone
    starts: Date
    """The first turn begins at the first handover on or after this day."""
    ends: Date | None = None
    every: Duration = timedelta(weeks=1)
    handover: Handover = Handover()
    people: tuple[str, ...] = Field(min_length=1)

    @field_validator("every")
    @classmethod
    def _whole_days(cls, every: timedelta) -> timedelta:
        if every < _DAY or every % _DAY:
            raise ValueError("write whole days or weeks, such as 1d, 1w or 2w")
        return every

    @model_validator(mode="after")
    def _day_of_a_week(self) -> "Rotation":
        if self.every % timedelta(weeks=1) and "day" in self.handover.model_fields_set:
            raise ValueError('a rotation by days has no day of the week: remove "day", or write "every" in weeks')
        return self


class Override(Placed):
    """Somebody stands in for whoever is on call in a rotation."""

    rotation: str
    person: str
    starts: Moment
    ends: Moment
    zone: Zone | None = None
    """Of `starts` and `ends`; the rotation's own when it is left out."""
    reason: str = ""

    @model_validator(mode="after")
    def _ends_later(self) -> "Override":
        if self.starts.tzinfo == self.ends.tzinfo and self.ends <= self.starts:
            raise ValueError('"ends" must be later than "starts"')
        return self


@dataclass(frozen=True, slots=True)
class OnCall:
    """Who is on call, or nobody; and why."""

    person: str | None
    because: str


def span(override: Override, rotation: Rotation) -> tuple[datetime, datetime]:
    """Start and end of an override, in UTC."""
    zone = override.zone or rotation.zone
    return to_utc(override.starts, zone), to_utc(override.ends, zone, end=True)


def on_call(name: str, rotations: Mapping[str, Rotation], overrides: tuple[Override, ...], now: datetime) -> OnCall:
    """Say who is on call in a rotation at a moment."""
    rotation = rotations.get(name)
    if rotation is None:
        return OnCall(None, f'there is no rotation "{name}"')
    for override in overrides:
        if override.rotation == name:
            starts, ends = span(override, rotation)
            if starts <= now < ends:
                why = f", {override.reason}" if override.reason else ""
                return OnCall(override.person, f"stands in for {name} ({override.place}{why})")
    turn = _turn(rotation, now)
    if turn is None:
        return OnCall(None, f"nobody is on call in {name} now ({rotation.place})")
    return OnCall(rotation.people[turn % len(rotation.people)], f"is on call in {name} ({rotation.place})")


def _turn(rotation: Rotation, now: datetime) -> int | None:
    """How many turns have ended since the first began; None outside the rotation's time."""
    first = rotation.starts + timedelta(days=(rotation.handover.day - rotation.starts.weekday()) % 7)
    if rotation.every % timedelta(weeks=1):
        first = rotation.starts  # a rotation by days has no day of the week
    local = now.astimezone(rotation.zone).date()
    if rotation.ends is not None and now >= _begins(rotation, rotation.ends):
        return None
    turn = (local - first) // rotation.every + 1  # where clocks go back over midnight, tomorrow has begun already
    while now < _begins(rotation, first + turn * rotation.every):
        turn -= 1
    return turn if turn >= 0 else None


def _begins(rotation: Rotation, day: date) -> datetime:
    return to_utc(datetime.combine(day, rotation.handover.at), rotation.zone)
