"""What can happen to an incident. Past tense, all of it: an event is a thing that is so.

In the order of an outage: read this page first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from relay.incident.alert import Alert, AlertKey
from relay.incident.plan import Plan, Ring

MOST_RECORDED = 20
"""Alerts that one timeline entry lists; the rest are counted, so that a storm stays readable."""


# ---- alerts ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opened:
    """An alert that joins no incident has started one."""

    group: Mapping[str, str]
    """The `group_by` labels that all its alerts share."""
    plan: Plan
    """Whom to page in which order; fixed for the life of the incident."""
    would: str = ""
    """The route in shadow that would have been taken instead."""


@dataclass(frozen=True, slots=True)
class AlertsFired:
    """Alerts began to fire: new ones, or known ones again."""

    alerts: tuple[Alert, ...]
    doubt: str = ""
    """Why the firing may be an echo of something that is over; empty when there is no doubt."""
    more: int = 0
    """Alerts left out of the timeline's copy of this event."""
    missed: bool = False
    """Whether no message has told of them: the source was asked."""


@dataclass(frozen=True, slots=True)
class AlertsChanged:
    """Firing alerts say something new of themselves: another text, or a later start (they flapped unseen)."""

    alerts: tuple[Alert, ...]
    more: int = 0


@dataclass(frozen=True, slots=True)
class AlertsResolved:
    """Alerts ended, as their source reports; or `absent`: it was asked, and has them no more (no time of recovery)."""

    keys: tuple[AlertKey, ...]
    more: int = 0
    absent: bool = False


@dataclass(frozen=True, slots=True)
class AlertsTruncated:
    """The source left alerts out of its message about a group, so that it proves no end. 0 takes it back."""

    group: str
    count: int


@dataclass(frozen=True, slots=True)
class AlertsMuted:
    """The source keeps alerts of the incident to itself: all, by fingerprint, with what does it; {} for none."""

    source: str
    muted: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ConditionDated:
    """Prometheus knows since when a condition behind its alerts is true: earlier than they fired, by their `for:`."""

    since: datetime


# ---- what Relay makes of them ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assessed:
    """The severity was computed, from labels and facts; `severity` is 1 (worst) to 5."""

    severity: int
    because: str
    could_be: int | None = None
    """The worst that a fact not yet known could still make of it."""
    unknown: tuple[str, ...] = ()
    was: int | None = None
    """The severity before."""


@dataclass(frozen=True, slots=True)
class Held:
    """Nobody is paged for now. What still fires at `until` is looked at again."""

    by: str
    until: datetime


@dataclass(frozen=True, slots=True)
class WouldHold:
    """A window in shadow would hold it now, were it enforced."""

    by: str


@dataclass(frozen=True, slots=True)
class WouldAssess:
    """A severity rule in shadow would make it worse, were it enforced."""

    severity: int
    because: str


@dataclass(frozen=True, slots=True)
class Reconsidered:
    """The rules have changed: what is held is looked at again."""


@dataclass(frozen=True, slots=True)
class Triggered:
    """People are needed."""

    because: str


@dataclass(frozen=True, slots=True)
class Paged:
    """Somebody was asked to come. `ring` says who, through which target, and why they."""

    ring: Ring
    instead_of: str = ""
    """The key of the page that it takes the place of: its pager has closed that by itself."""


@dataclass(frozen=True, slots=True)
class LevelPassed:
    """A level of the escalation policy resolves to nobody, or cannot be reached; the next was asked at once."""

    level: str
    because: str
    round: int
    step: int


@dataclass(frozen=True, slots=True)
class EscalationExhausted:
    """Every level was asked as often as the policy says, and nobody came."""

    policy: str


# ---- people ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Somebody says they are on it; `via` is the key of the page by which the news has come, if it came so."""

    by: str
    via: str = ""


@dataclass(frozen=True, slots=True)
class AckExpired:
    """Who had answered has not said anything for long, and it still fires: people are asked again."""

    by: str


@dataclass(frozen=True, slots=True)
class SeveritySet:
    """Somebody says how severe it is; nothing that is computed afterwards changes it."""

    by: str
    severity: int
    reason: str


@dataclass(frozen=True, slots=True)
class Escalated:
    """Somebody asks for the next level now."""

    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NoteAdded:
    """Somebody wrote something down."""

    by: str
    text: str


# ---- the end -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Resolved:
    """It is over: every alert ended (`by` is empty), or somebody says so. `via`: see `Acknowledged`."""

    because: str
    by: str = ""
    via: str = ""
    unpaged: bool = False
    """Whether nobody had been needed for it."""


@dataclass(frozen=True, slots=True)
class Reopened:
    """It is not over after all."""

    because: str


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing more can happen to it: what fires from now on is another incident."""


# ---- time --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeadlineSet:
    """Something has to be done by a time; the same name again moves it."""

    name: str
    at: datetime


@dataclass(frozen=True, slots=True)
class DeadlineMet:
    """It was done, or no longer needs doing."""

    name: str


@dataclass(frozen=True, slots=True)
class DeadlineMissed:
    """The time came first."""

    name: str


# ---- answers -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Delivered:
    """A page was accepted by the system that rings the phone."""

    key: str
    target: str


@dataclass(frozen=True, slots=True)
class Undeliverable:
    """A system refused, for good, what we asked of it."""

    effect: str
    key: str
    target: str
    because: str


@dataclass(frozen=True, slots=True)
class Measured:
    """Facts were looked up. A fact that could not be had is in `unknown`, with the reason."""

    values: Mapping[str, float] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)


Event = (
    Opened
    | AlertsFired
    | AlertsChanged
    | AlertsResolved
    | AlertsTruncated
    | AlertsMuted
    | ConditionDated
    | Assessed
    | Held
    | WouldHold
    | WouldAssess
    | Reconsidered
    | Triggered
    | Paged
    | LevelPassed
    | EscalationExhausted
    | Acknowledged
    | AckExpired
    | SeveritySet
    | Escalated
    | NoteAdded
    | Resolved
    | Reopened
    | Closed
    | DeadlineSet
    | DeadlineMet
    | DeadlineMissed
    | Delivered
    | Undeliverable
    | Measured
)

_QUIET = (DeadlineSet, DeadlineMet, AlertsChanged, Measured, Reconsidered)


def is_quiet(event: Event) -> bool:
    """Whether an event changes an incident without a line in its timeline: the event it comes with says it."""
    if isinstance(event, Assessed):
        return event.was == event.severity
    if isinstance(event, DeadlineMissed):
        return not event.name.startswith("escalation/") or event.name == "escalation/acknowledgement"
    return isinstance(event, _QUIET)


def for_the_record(event: Event) -> Event:
    """Give the event as the timeline keeps it: with a few of its alerts, and how many more there were."""
    match event:
        case AlertsFired(alerts=alerts) if len(alerts) > MOST_RECORDED:
            return replace(event, alerts=alerts[:MOST_RECORDED], more=len(alerts) - MOST_RECORDED)
        case AlertsResolved(keys=keys) if len(keys) > MOST_RECORDED:
            return replace(event, keys=keys[:MOST_RECORDED], more=len(keys) - MOST_RECORDED)
        case _:
            return event


def occurred_at(event: Event, now: datetime) -> datetime:
    """When the thing itself happened, as far as its teller says; `now` otherwise."""
    if isinstance(event, AlertsFired):
        return min((a.starts_at for a in event.alerts if a.starts_at), default=now)
    return now
