"""Escalation policies as people write them. Section `policies:`. What they do is in `escalation`."""

from datetime import timedelta
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from relay.config.types import Day, Duration, Placed, TimeOfDay, Zone, at_least
from relay.incident.plan import Jump, Level, Limit, Plan, Quiet, Recipient
from relay.incident.severity import LEAST, SeverityLevel, Threshold

LAST_RESORT = "last resort"
ACKNOWLEDGEMENT = "escalation/acknowledgement"
AFTER = "escalation/after-"
"""How the deadlines of jumps begin, that wait for a time since people were needed."""
REDIRECTED = "window"
"""The level of a page that a window has redirected."""
_OWN = (LAST_RESORT, ACKNOWLEDGEMENT.partition("/")[2], REDIRECTED)
KINDS = ("rotation", "schedule", "person", "target")
"""What a level can name."""
MOST_LEVELS = 20
MOST_RECIPIENTS = 10
"""Of one level; so that a jump over all levels stays below `decide.ENOUGH`."""


ASecond = Annotated[Duration, at_least(timedelta(seconds=1))]
AMinute = Annotated[Duration, at_least(timedelta(minutes=1))]


class Recipients(Placed):
    """Who is to be rung: exactly one of `rotation`, `schedule`, `person` and `target`."""

    rotation: str = ""
    schedule: str = ""
    person: str = ""
    target: str = ""
    via: str = ""
    """Another target than the person's own."""

    @model_validator(mode="after")
    def _exactly_one(self) -> "Recipients":
        if sum(bool(getattr(self, kind)) for kind in KINDS) != 1:
            raise ValueError('write exactly one of "rotation", "schedule", "person" and "target"')
        return self

    def pinned(self) -> Recipient:
        """The value that a plan keeps."""
        kind = next(kind for kind in KINDS if getattr(self, kind))
        return Recipient(kind, getattr(self, kind), self.via)


class PolicyLevel(Placed):
    """One level, and how long it has to answer before the next is paged."""

    name: str = Field(min_length=1)
    page: tuple[Recipients, ...] = Field(min_length=1, max_length=MOST_RECIPIENTS)
    wait: ASecond

    @field_validator("name")
    @classmethod
    def _none_of_our_own(cls, name: str) -> str:
        if name in _OWN or name.startswith(AFTER.partition("/")[2]):
            raise ValueError("write another name: Relay uses this one itself")
        return name


class PolicyJump(Placed):
    """While all that it asks for is so, the levels up to `to` are paged at once."""

    to: str
    at_least: SeverityLevel | None = None
    facts: dict[str, Threshold] = Field(default_factory=dict)
    after: ASecond | None = None
    """How long people have been needed, whether somebody has acknowledged or not."""
    mode: Literal["enforce", "shadow"] = "enforce"

    @model_validator(mode="after")
    def _asks_for_something(self) -> "PolicyJump":
        if self.at_least is None and not self.facts and self.after is None:
            raise ValueError('write when: "at_least", "facts" or "after", or several of them')
        return self

    def pinned(self, to: int) -> Jump:
        """The value that a plan keeps."""
        limits = tuple(Limit(name, limit.at_least, limit.at_most) for name, limit in self.facts.items())
        return Jump(self.at_least or LEAST, to, limits, self.after, str(self.place), self.mode)


class BusinessHours(Placed):
    """Hours of some days of the week."""

    zone: Zone
    days: tuple[Day, ...] = Field(default=(0, 1, 2, 3, 4), min_length=1)
    from_: TimeOfDay = Field(alias="from")
    to: TimeOfDay


class PolicyQuiet(Placed):
    """What is no worse than a severity waits for business hours."""

    at_most: SeverityLevel
    hours: BusinessHours

    @field_validator("at_most")
    @classmethod
    def _not_the_worst(cls, level: int) -> int:
        if level == 1:
            raise ValueError("write SEV-2 or milder: the worst waits for nothing")
        return level

    def pinned(self) -> Quiet:
        """The value that a plan keeps."""
        hours = self.hours
        return Quiet(self.at_most, str(hours.zone), tuple(sorted(hours.days)), hours.from_, hours.to, str(self.place))


class Policy(Placed):
    """An escalation policy."""

    levels: tuple[PolicyLevel, ...] = Field(min_length=1, max_length=MOST_LEVELS)
    jump: tuple[PolicyJump, ...] = ()
    repeat: int = Field(default=0, ge=0, le=100)
    last_resort: tuple[Recipients, ...] = Field(min_length=1, max_length=MOST_RECIPIENTS)
    last_resort_every: AMinute = timedelta(minutes=30)
    until: Literal["acknowledged", "resolved"] = "acknowledged"
    ack_expires: AMinute | None = None
    quiet: PolicyQuiet | None = None
    escalation: Literal["relay", "provider"] = "relay"
    """Who asks the next: with `provider`, the target that has taken a page in does, and Relay asks nobody else."""

    @cached_property
    def _levels(self) -> tuple[Level, ...]:
        return tuple(Level(lv.name, tuple(r.pinned() for r in lv.page), lv.wait) for lv in self.levels)

    @cached_property
    def _last_resort(self) -> tuple[Recipient, ...]:
        return tuple(r.pinned() for r in self.last_resort)

    def plan(self, name: str, revision: str = "", route: str = "", hold_for: timedelta = timedelta()) -> Plan:
        """What an incident pins; `hold_for` is the route's."""
        order = [level.name for level in self.levels]
        return Plan(
            policy=name,
            place=str(self.place),
            levels=self._levels,
            last_resort=self._last_resort,
            repeat=self.repeat,
            jumps=tuple(jump.pinned(order.index(jump.to)) for jump in self.jump if jump.to in order),
            until=self.until,
            last_resort_every=self.last_resort_every,
            ack_expires=self.ack_expires,
            quiet=self.quiet.pinned() if self.quiet else None,
            hold_for=hold_for,
            escalation=self.escalation,
            revision=revision,
            route=route,
        )
