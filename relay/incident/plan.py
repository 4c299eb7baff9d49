"""Whom to page in which order: pinned when an incident opens, so that a reload does not move the ground."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who is to be rung. `via` overrides the person's own target."""

    kind: str
    """`rotation`, `schedule`, `person` or `target`."""
    name: str
    via: str = ""


@dataclass(frozen=True, slots=True)
class Level:
    """One level of an escalation policy, and how long it has to answer."""

    name: str
    page: tuple[Recipient, ...]
    wait: timedelta


@dataclass(frozen=True, slots=True)
class Limit:
    """A fact, and the value at which, or beyond which, it counts."""

    fact: str
    at_least: float | None = None
    at_most: float | None = None

    def holds(self, facts: Mapping[str, float]) -> bool:
        """Whether the fact is known, and counts."""
        value = facts.get(self.fact)
        if value is None:
            return False
        return value >= self.at_least if self.at_least is not None else value <= (self.at_most or 0.0)

    def __str__(self) -> str:
        """The limit, as a condition."""
        return f"{self.fact} >= {self.at_least:g}" if self.at_least is not None else f"{self.fact} <= {self.at_most:g}"


@dataclass(frozen=True, slots=True)
class Jump:
    """While it is this severe (1 is worst), all facts hold, and people were needed this long: page up to level `to`."""

    at_least: int
    to: int
    facts: tuple[Limit, ...] = ()
    after: timedelta | None = None

    def holds(self, severity: int, facts: Mapping[str, float], needed_for: timedelta) -> bool:
        """Whether all that it asks for is so."""
        long_enough = self.after is None or needed_for >= self.after
        return severity <= self.at_least and long_enough and all(limit.holds(facts) for limit in self.facts)


@dataclass(frozen=True, slots=True)
class Quiet:
    """From this severity (1 is worst) to milder ones, people are paged only in these hours; monday = 0."""

    at_most: int
    zone: str
    days: tuple[int, ...]
    from_: time
    to: time
    place: str


@dataclass(frozen=True, slots=True)
class Plan:
    """An escalation policy as it was when the incident opened."""

    policy: str
    place: str
    levels: tuple[Level, ...]
    last_resort: tuple[Recipient, ...]
    repeat: int = 0
    jumps: tuple[Jump, ...] = ()
    until: str = "acknowledged"
    last_resort_every: timedelta = timedelta(minutes=30)
    ack_expires: timedelta | None = None
    """How long an answer is believed while the alerts fire on."""
    quiet: Quiet | None = None
    hold_for: timedelta = timedelta()
    """How long an incident waits before anybody is paged: what ends by then pages nobody."""
    escalation: str = "relay"
    """`provider` when the target of the first level asks the next itself."""
    revision: str = ""
    """The rules' revision that it was taken from."""
    route: str = ""
    """The route that chose it, with its file and line."""


@dataclass(frozen=True, slots=True)
class Ring:
    """One page: who is asked, through which target, under which key, and why they."""

    level: str
    target: str
    key: str
    """The same for every message about this page, so that the provider folds them: incident/episode/level/…"""
    recipient: str
    """Whom the level names, e.g. `rotation payments-primary`."""
    round: int = 0
    step: int = 0
    """The level's number, counted from 0; the number of levels stands for the last resort."""
    person: str = ""
    user: str = ""
    """How the target knows the person, where it can ring an individual."""
    because: str = ""
    again: int = 0
    """How often it was rung again, under a new key, because its pager has closed it by itself."""
    again_at: datetime | None = None
    """When, the last time."""

    def once_more(self, now: datetime) -> "Ring":
        """The same page under a new key."""
        again = self.again + 1
        stem = self.key.removesuffix(f"+{self.again}") if self.again else self.key
        return replace(self, key=f"{stem}+{again}", again=again, again_at=now)
