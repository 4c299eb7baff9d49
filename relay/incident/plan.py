"""Whom to page in which order: pinned when an incident opens, so that a reload does not move the ground."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who is to be rung: one of a rotation, a person, or a target as it is. `via` overrides the person's own target."""

    kind: str
    """`rotation`, `person` or `target`."""
    name: str
    via: str = ""


@dataclass(frozen=True, slots=True)
class Level:
    """One level of an escalation policy, and how long it has to answer."""

    name: str
    page: tuple[Recipient, ...]
    wait: timedelta


@dataclass(frozen=True, slots=True)
class Jump:
    """From this severity on (1 is worst), level number `to` and all before it are paged at once."""

    at_least: int
    to: int


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
