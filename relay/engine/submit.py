"""The one door: something happened to an incident, and all that follows from it is kept in the same transaction."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import structlog

from relay.incident.decide import Decision, Rules, decide
from relay.incident.events import DeadlineMissed, Event, Reconsidered
from relay.incident.incident import Incident
from relay.incident.severity import LEAST
from relay.store.transaction import Transaction

log = structlog.get_logger()

MOST_DEADLINES = 100
"""Deadlines of one incident handled at a time. More is a loop, and must not stop the others."""
MOST_NAMED = 5
"""Incidents held by the same that a page names; the rest are counted."""
SICK_FOR = timedelta(minutes=1)
"""How long an incident whose deadline cannot be decided is left alone."""


class NoSuchIncident(Exception):
    """There is no incident of that id. The message says so."""


def submit(
    transaction: Transaction, id_: str, event: Event, rules: Rules, now: datetime, *, alerts: bool = True
) -> Decision:
    """Let an event happen to an incident. Raises `NoSuchIncident`, or `NotNow` when it cannot happen in its phase.

    `alerts` says whether the event's consequences may depend on the incident's alerts.
    """
    transaction.incidents.load([id_], alerts=alerts)
    incident = transaction.incidents.get(id_)
    if incident is None:
        raise NoSuchIncident(f"there is no incident {id_}")
    decision = decide(incident, event, rules, now)
    transaction.keep(decision, now)
    return decision


def wake(transaction: Transaction, rules: Rules, now: datetime, limit: int) -> int:
    """Let every deadline that has passed be missed, the longest overdue incident first; gives how many incidents."""
    due = transaction.incidents.due(now, limit)
    beside = _beside([incident for id_ in due if (incident := transaction.incidents.get(id_))])
    for id_ in due:
        miss(transaction, id_, beside.get(id_, ""), rules, now)
    return len(due)


def _beside(incidents: Sequence[Incident]) -> dict[str, str]:
    """For each that is held: the others that the same holds, in words, the most severe first."""
    held: dict[str, list[str]] = {}
    for incident in sorted(incidents, key=lambda one: one.severity or LEAST):
        if incident.phase == "held":
            held.setdefault(incident.held_by, []).append(incident.id)
    return {id_: _others(ids, id_) for ids in held.values() for id_ in ids}


def _others(ids: Sequence[str], but: str) -> str:
    named = [id_ for id_ in ids[: MOST_NAMED + 1] if id_ != but][:MOST_NAMED]
    more = len(ids) - 1 - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def miss(transaction: Transaction, id_: str, beside: str, rules: Rules, now: datetime) -> None:
    """Let the deadlines be missed that have passed of an incident that was loaded; `beside`: see `Reconsidered`."""
    incident = transaction.incidents.get(id_)
    if incident is None:  # it cannot be read, which its log says
        transaction.incidents.defer(id_, now + SICK_FOR)
        return
    try:
        decisions = _missed(incident, beside, rules, now)
    except Exception:
        log.exception("a deadline cannot be decided: it is tried again in a minute", incident=id_)
        transaction.incidents.defer(id_, now + SICK_FOR)
        return
    transaction.incidents.looked_at(id_)
    for decision in decisions:
        transaction.keep(decision, now)


def _missed(incident: Incident, beside: str, rules: Rules, now: datetime) -> Iterable[Decision]:
    decisions: list[Decision] = []
    if incident.phase in ("held", "triggered") and not incident.missed(now):
        return [decide(incident, Reconsidered(beside), rules, now)]  # somebody has asked that it be looked at again
    # One at a time: what follows from the first may have met or moved the next.
    while (missed := incident.missed(now)) and len(decisions) < MOST_DEADLINES:
        event = DeadlineMissed(missed[0], beside if incident.phase == "held" else "")
        decision = decide(incident, event, rules, now)
        decisions.append(decision)
        incident = decision.incident
    if incident.phase in ("held", "triggered"):  # that somebody has asked as well would leave no trace
        decisions.append(decide(incident, Reconsidered(beside), rules, now))
    return decisions
