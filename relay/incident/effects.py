"""What we can ask of the world. Imperative, all of it: an effect is a thing to do.

Every effect names its `target` (a key of the rules' `targets:`, or `prometheus`). Effects with a `key` speak of
one page: they reach the target in the order in which they were asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Notice:
    """What a responder is told, by any target: it translates this, and shortens it where it must."""

    incident: str
    title: str
    """One line: severity, what is broken, since when."""
    text: str
    """Lines that say what, since when, why this severity, why you, what happens next."""
    severity: int
    service: str
    started_at: datetime
    alerts: tuple[str, ...] = ()
    """A few of the alerts, a line each; the most telling first."""
    firing: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    """What all the alerts have in common."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Text of a link to its address."""


@dataclass(frozen=True, slots=True)
class Page:
    """Wake somebody."""

    target: str
    key: str
    notice: Notice
    user: str = ""
    """The person as the target knows them, where it can ring an individual."""


@dataclass(frozen=True, slots=True)
class UpdatePage:
    """Tell those who were woken that it has changed, without waking them again."""

    target: str
    key: str
    notice: Notice
    what: str
    """What has changed, in a line."""


@dataclass(frozen=True, slots=True)
class AcknowledgePage:
    """Stop the ringing: somebody is on it."""

    target: str
    key: str
    by: str


@dataclass(frozen=True, slots=True)
class ResolvePage:
    """It is over: close the page."""

    target: str
    key: str
    because: str


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell people of something that is no incident; it rings nobody."""

    target: str
    key: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Measure:
    """Look facts up in Prometheus."""

    queries: Mapping[str, str]
    """Name of the fact to its PromQL, ready to be sent."""
    unanswerable: Mapping[str, str] = field(default_factory=dict)
    """Facts that cannot be asked for, with the reason."""
    target: str = "prometheus"
    key: str = ""


Effect = Page | UpdatePage | AcknowledgePage | ResolvePage | Announce | Measure
