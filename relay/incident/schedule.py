"""Schedules: who is on call when, made of rotations, or owned by PagerDuty or Opsgenie. Section `schedules:`."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Annotated, Literal

from pydantic import Field, model_validator

from relay.config.secrets import one_place_each
from relay.config.types import Day, Duration, Placed, TimeOfDay, Zone, at_least, to_utc
from relay.incident.rotation import DAY

MOST_OFFSET = 52
_KINDS = ("layers", "follows", "provider")


class Hours(Placed):
    """Hours of some days; those that end before they begin end on the day after."""

    days: tuple[Day, ...] = Field(default=(0, 1, 2, 3, 4, 5, 6), min_length=1)
    from_: TimeOfDay = Field(alias="from")
    to: TimeOfDay
    zone: Zone | None = None
    """The rotation's own when it is left out."""

    @model_validator(mode="after")
    def _last(self) -> "Hours":
        if self.from_ == self.to:
            raise ValueError('write two times of day: for whole days, leave "hours" out')
        return self

    def spans(self, since: datetime, until: datetime, zone: tzinfo) -> Iterator[tuple[datetime, datetime]]:
        """Every time they are open that overlaps a span, in UTC."""
        zone = self.zone or zone
        day = since.astimezone(zone).date() - DAY
        while day <= until.astimezone(zone).date():
            last = day if self.from_ < self.to else day + DAY
            starts = to_utc(datetime.combine(day, self.from_), zone)
            ends = to_utc(datetime.combine(last, self.to), zone, end=True)
            if day.weekday() in self.days and starts < ends and starts <= until and ends > since:
                yield starts, ends
            day += DAY

    def open_at(self, now: datetime, zone: tzinfo) -> bool:
        """Whether they are open."""
        return any(starts <= now < ends for starts, ends in self.spans(now, now, zone))


class Layer(Placed):
    """Whose time it is within some hours: exactly one of `rotation` and `person`."""

    rotation: str = ""
    person: str = ""
    hours: Hours | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "Layer":
        if bool(self.rotation) == bool(self.person):
            raise ValueError('write exactly one of "rotation" and "person"')
        if self.person and self.hours and not self.hours.zone:
            raise ValueError('write the "zone" of the hours: a person alone has no clock here')
        return self


class Provider(Placed):
    """A schedule that somebody else owns; its API says who is on call."""

    type: Literal["pagerduty", "opsgenie"]
    schedule: str = Field(min_length=1)
    """PagerDuty's id of it; Opsgenie's name or id."""
    region: Literal["us", "eu"] = "us"
    api_key_file: str | None = None
    api_key_env: str | None = None
    url: str | None = Field(default=None, pattern=r"^https?://[^/?#@\s]+(/[^?#@\s]*)?$")
    """Instead of the vendor's own host, for proxies and stand-ins."""
    refresh: Annotated[Duration, at_least(timedelta(seconds=30))] = timedelta(minutes=5)
    stale_after: Annotated[Duration, at_least(timedelta(minutes=10))] = timedelta(days=1)
    """How long what was read is believed while nothing new can be."""

    @model_validator(mode="after")
    def _one_key(self) -> "Provider":
        one_place_each(self, "api_key")
        return self


class Schedule(Placed):
    """Who is on call when: exactly one of `layers`, `follows` and `provider`."""

    layers: tuple[Layer, ...] = ()
    """The first that has somebody on call says who it is."""
    follows: str = ""
    """The rotation whose turn, so many (`offset`) before or after, it is."""
    offset: int = Field(default=-1, ge=-MOST_OFFSET, le=MOST_OFFSET)
    provider: Provider | None = None
    via: str = ""
    """The target that rings somebody of the provider's schedule who is not among the people."""

    @model_validator(mode="after")
    def _exactly_one(self) -> "Schedule":
        if sum(bool(getattr(self, kind)) for kind in _KINDS) != 1:
            raise ValueError('write exactly one of "layers", "follows" and "provider"')
        if "offset" in self.model_fields_set and not self.follows:
            raise ValueError('"offset" goes with "follows"')
        if self.follows and not self.offset:
            raise ValueError('write an "offset", such as -1 for whoever had the turn before')
        if self.via and not self.provider:
            raise ValueError('"via" goes with "provider"')
        return self


@dataclass(frozen=True, slots=True)
class ToldShift:
    """Somebody's time, as a provider tells it."""

    starts: datetime
    ends: datetime
    names: tuple[str, ...]
    """Everything that the provider calls them: e-mail address, id, name."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a provider has told of a schedule, and when."""

    at: datetime
    shifts: tuple[ToldShift, ...]
