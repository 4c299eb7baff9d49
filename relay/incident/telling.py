"""Events and phases in words: for timelines, the command line and explanations."""

from collections.abc import Mapping

from relay.incident.alert import Alert
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
from relay.incident.policy import AFTER
from relay.incident.reconcile import ABSENT
from relay.incident.severity import spell_level


def tell(event: Event) -> str:
    """Say an event in a line."""
    return _of_alerts(event) or _of_decisions(event) or _of_answers(event) or _of_people(event) or _of_time(event)


def _of_alerts(event: Event) -> str:
    match event:
        case Opened(group, plan, would):
            labels = ", ".join(f"{k}={v}" for k, v in group.items()) or "no labels in common"
            shadow = f" (in shadow, and not taken: {would})" if would else ""
            return f"opened for {labels}: policy {plan.policy} ({plan.place}), by {plan.route}{shadow}"
        case AlertsFired(alerts, doubt, more, missed):
            how = "; no message has told of it, its source was asked" if missed else f"; {doubt}" if doubt else ""
            return f"{_names(alerts, more)} fired{how}"
        case AlertsChanged(alerts, more):
            return f"{_names(alerts, more)} changed what it says"
        case AlertsResolved(keys, more, absent):
            count = f"{len(keys) + more} alert{'s' if len(keys) + more != 1 else ''}"
            return f"{count} {ABSENT}" if absent else f"{count} ended"
        case AlertsMuted(source, muted):
            return _muted(source, muted)
        case ConditionDated(since):
            return f"Prometheus says that it began at {since:%Y-%m-%d %H:%M:%S} UTC"
        case AlertsTruncated(_, count):
            return (
                f"the source left {count} alerts out of its message" if count else "the source lists every alert again"
            )
    return ""


def _of_decisions(event: Event) -> str:
    match event:
        case Assessed(severity, because, could_be, unknown, was):
            change = f"{spell_level(was)} → {spell_level(severity)}" if was else spell_level(severity)
            could = f"; could be {spell_level(could_be)}, not known: {', '.join(unknown)}" if could_be else ""
            return f"{change}: {because}{could}"
        case Held(by, until):
            return f"held until {until:%Y-%m-%d %H:%M:%S} UTC by {by}"
        case WouldAssess(severity, because):
            return f"would be {spell_level(severity)} (in shadow: it is not): {because}"
        case WouldJump(_, level, because):
            return f"{level} would be rung (in shadow: it is not): {because}"
        case WouldHold(by):
            return f"would be held by {by} (in shadow: it is not)"
        case Triggered(because):
            return f"people are needed: {because}"
        case Paged(ring, instead_of):
            who = f"{ring.person} through {ring.target}" if ring.person else ring.target
            why = f" again, since {ring.target} has closed the page by itself" if instead_of else ""
            return f"paged {who}{why}: {ring.because}"
        case LevelPassed(level, because):
            return f"{level} passed: {because}"
        case EscalationExhausted(policy):
            return f"every level of {policy} was asked: the last resort"
    return ""


def _of_answers(event: Event) -> str:
    match event:
        case Delivered(_, target):
            return f"{target} accepted the page"
        case Undeliverable(effect, _, target, because):
            return f"{target} refused {effect}: {because}"
        case Measured(values, unknown):
            known = ", ".join(f"{name} = {value:g}" for name, value in values.items())
            return f"measured {known or 'nothing'}" + (f"; not known: {', '.join(unknown)}" if unknown else "")
    return ""


def _of_people(event: Event) -> str:
    match event:
        case Acknowledged(by):
            return f"acknowledged by {by}"
        case AckExpired(by):
            return f"the acknowledgement by {by} has expired, and it still fires"
        case SeveritySet(by, severity, reason):
            return f"{by} says that it is {spell_level(severity)}: {reason}"
        case Escalated(by, reason):
            return f"escalated by {by}" + (f": {reason}" if reason else "")
        case NoteAdded(by, text):
            return f"{by}: {text}"
        case Resolved(because, by):
            return f"resolved by {by}: {because}" if by else f"resolved: {because}"
        case Reopened(because):
            return f"reopened: {because}"
        case Closed():
            return "closed"
    return ""


def _of_time(event: Event) -> str:
    match event:
        case Reconsidered():
            return "the rules have changed"
        case DeadlineSet(name, at):
            return f"{name} is due at {at:%H:%M:%S} UTC"
        case DeadlineMet(name):
            return f"{name} is no longer needed"
        case DeadlineMissed(name) if name.startswith(AFTER):
            return f"people have been needed for {name.removeprefix(AFTER)}"
        case DeadlineMissed(name):
            return f"nobody has answered: {name.partition('/')[2]} is due"
    raise AssertionError(f"{type(event).__name__} has no words")


def _muted(source: str, muted: Mapping[str, str]) -> str:
    if not muted:
        return f"{source} no longer keeps alerts to itself"
    reasons = ", ".join(sorted(set(muted.values()))[:3])
    return f"{source} keeps {len(muted)} alert{'s' if len(muted) != 1 else ''} to itself: {reasons}"


def _names(alerts: tuple[Alert, ...], more: int) -> str:
    names = list(dict.fromkeys(alert.name for alert in alerts))
    total = len(alerts) + more
    some = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    return some if total == 1 else f"{total} alerts ({some})"
