"""Resolution: when an incident is over, when it comes back, and when it is closed. Section `resolution:`."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated

from relay.config.types import Duration, Section, at_least
from relay.incident.alert import OWN_SOURCE
from relay.incident.effects import Effect
from relay.incident.events import (
    AlertsFired,
    AlertsResolved,
    AlertsTruncated,
    Closed,
    DeadlineMet,
    DeadlineMissed,
    DeadlineSet,
    Event,
    NoteAdded,
    Reopened,
    Resolved,
)
from relay.incident.incident import Incident
from relay.incident.reconcile import ABSENT

A_MINUTE = timedelta(minutes=1)
CLOSE = "resolution/close"
RECHECK = "resolution/recheck"


class Resolution(Section):
    """The `resolution:` section."""

    reopen_within: Duration = timedelta(minutes=30)
    """An alert of the group that fires again this soon reopens the incident; later it is a new one."""
    recheck_after_close: Annotated[Duration, at_least(A_MINUTE)] = timedelta(minutes=10)
    """When somebody resolves an incident whose alerts still fire: how long they are believed."""


REACTS_TO = frozenset({AlertsResolved, AlertsTruncated, AlertsFired, Resolved, DeadlineMissed})


def react(incident: Incident, event: Event, rules: Resolution, now: datetime) -> Iterator[Event | Effect]:
    """Follow the alerts: over when the last one ends, back when one fires again."""
    over = incident.phase == "resolved"
    match event:
        case AlertsResolved() | AlertsTruncated() if not over and not incident.alerts:
            yield from _ended(incident, event)
        case Resolved():
            yield DeadlineSet(CLOSE, now + rules.reopen_within)
            if own := tuple(key for key in incident.alerts if key[0] == OWN_SOURCE):
                yield AlertsResolved(own)
            if len(own) < len(incident.alerts):
                yield DeadlineSet(RECHECK, now + rules.recheck_after_close)
        case AlertsFired() if over:
            yield Reopened("an alert of its group fires again")
        case AlertsResolved() if over and not incident.alerts:
            yield DeadlineMet(RECHECK)
        case DeadlineMissed("resolution/recheck") if incident.alerts:
            yield Reopened(f"{len(incident.alerts)} of its alerts still fire")
        case DeadlineMissed("resolution/close"):
            # while alerts fire the recheck is still to come: it reopens the incident, or they end
            yield DeadlineSet(CLOSE, now + max(rules.reopen_within, A_MINUTE)) if incident.alerts else Closed()


def _ended(incident: Incident, event: Event) -> Iterator[Event | Effect]:
    unpaged = incident.triggered_at is None
    if isinstance(event, AlertsResolved) and event.absent:
        yield Resolved(f"every alert ended, the last of them {ABSENT}", unpaged=unpaged)
    elif not incident.truncated:
        yield Resolved("every alert ended", unpaged=unpaged)
    elif isinstance(event, AlertsResolved):
        left_out = sum(incident.truncated.values())
        yield NoteAdded(
            "relay",
            f"every alert that was told of has ended, but the source left {left_out} out of its messages, so that "
            "nothing proves the end: resolve the incident by hand, and set max_alerts: 0 in Alertmanager",
        )
