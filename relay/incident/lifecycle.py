"""The phases of an outage: what can happen in each, where it leads, and which concerns are awake to react."""

from relay.incident.events import (
    AckExpired,
    Acknowledged,
    AlertsChanged,
    AlertsFired,
    AlertsMuted,
    AlertsResolved,
    AlertsTruncated,
    Assessed,
    Closed,
    ConditionDated,
    DeadlineMet,
    DeadlineMissed,
    DeadlineSet,
    Delivered,
    Escalated,
    EscalationExhausted,
    Event,
    Held,
    LevelPassed,
    Measured,
    NoteAdded,
    Opened,
    Paged,
    Reconsidered,
    Reopened,
    Resolved,
    SeveritySet,
    Triggered,
    Undeliverable,
    WouldAssess,
    WouldHold,
    WouldJump,
)

PHASES: dict[str, str] = {
    "new": "alerts are there, and nothing is decided yet; an incident leaves this phase at once",
    "held": "nobody is paged for now: a maintenance window, a doubt or a low severity holds it",
    "triggered": "people are being paged",
    "acknowledged": "somebody is on it",
    "resolved": "it is over, and may still come back",
    "closed": "nothing more happens to it",
}

_ALERTS = (AlertsFired, AlertsChanged, AlertsResolved, AlertsTruncated, AlertsMuted)
_TIME = (DeadlineSet, DeadlineMet, DeadlineMissed)
_ANSWERS = (Delivered, Undeliverable, Measured)
_RECORDS = (NoteAdded, ConditionDated, Assessed, SeveritySet, WouldAssess, WouldHold)
_PAGING = (Paged, LevelPassed, EscalationExhausted, Escalated, WouldJump)


def _stay(phase: str, *kinds: type[Event]) -> dict[type[Event], str]:
    return dict.fromkeys(kinds, phase)


NEXT: dict[str, dict[type[Event], str]] = {
    "new": {
        **_stay("new", Opened, *_ALERTS, *_TIME, *_ANSWERS, *_RECORDS),
        Held: "held",
        Triggered: "triggered",
        Resolved: "resolved",
    },
    "held": {
        **_stay("held", *_ALERTS, *_TIME, *_ANSWERS, *_RECORDS, Held, Paged, Reconsidered),
        Triggered: "triggered",
        Acknowledged: "acknowledged",
        Resolved: "resolved",
    },
    "triggered": {
        **_stay("triggered", *_ALERTS, *_TIME, *_ANSWERS, *_RECORDS, *_PAGING, Reconsidered),
        Held: "held",
        Acknowledged: "acknowledged",
        Resolved: "resolved",
    },
    "acknowledged": {
        **_stay("acknowledged", *_ALERTS, *_TIME, *_ANSWERS, *_RECORDS, *_PAGING, Acknowledged),
        AckExpired: "triggered",
        Resolved: "resolved",
    },
    "resolved": {
        **_stay("resolved", *_ALERTS, *_TIME, *_ANSWERS, NoteAdded),
        Reopened: "new",
        Closed: "closed",
    },
    "closed": _stay("closed", *_ANSWERS, NoteAdded, AlertsTruncated),
}
"""Phase, event, next phase. An event that a phase does not list cannot happen in it."""

AWAKE: dict[str, frozenset[str]] = {
    "new": frozenset({"severity", "holding", "resolution"}),
    "held": frozenset({"severity", "holding", "fallback", "paging", "resolution"}),
    "triggered": frozenset({"severity", "holding", "escalation", "fallback", "paging", "resolution"}),
    "acknowledged": frozenset({"severity", "escalation", "fallback", "paging", "resolution"}),
    "resolved": frozenset({"paging", "resolution"}),
    "closed": frozenset(),
}
"""The concerns that react in each phase; the others let the event pass, and their deadlines go."""

RINGING = ("held", "triggered", "acknowledged")
"""Phases in which pages are open at their targets; in `held`, that of a window which pages somebody instead."""


class NotNow(Exception):
    """The event cannot happen in this phase. The message says what can."""


def follow(phase: str, event: Event) -> str:
    """The phase that the event leads to. Raises `NotNow`."""
    leads_to = NEXT[phase].get(type(event))
    if leads_to is None:
        verb = _VERBS.get(type(event), type(event).__name__)
        raise NotNow(f"{verb} is not possible while it is {phase}; possible: {', '.join(possible(phase))}")
    return leads_to


_VERBS: dict[type[Event], str] = {
    Acknowledged: "ack",
    Escalated: "escalate",
    NoteAdded: "note",
    Resolved: "resolve",
    SeveritySet: "severity",
}


def possible(phase: str) -> list[str]:
    """What people can do in a phase, by the names it has in the API and on the command line."""
    return [verb for kind, verb in _VERBS.items() if kind in NEXT[phase]]
