"""Holding: whether people are needed now, or the incident waits. It has no section of its own.

The one place that decides between the phases `held` and `triggered`. Reasons to wait come from a doubt about the
alert itself, from its severity, and from maintenance windows; a hold always ends at a stated time, at which the
incident is looked at again.
"""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from relay.config.types import spell
from relay.incident import maintenance
from relay.incident.effects import Effect, ResolvePage
from relay.incident.events import (
    AckExpired,
    AlertsMuted,
    AlertsResolved,
    Assessed,
    DeadlineMet,
    DeadlineMissed,
    DeadlineSet,
    Event,
    Held,
    Paged,
    Reconsidered,
    Triggered,
    Undeliverable,
    WouldHold,
)
from relay.incident.fallback import stands_in
from relay.incident.incident import Incident
from relay.incident.maintenance import Hold, Windows, hushes, pauses, shadowed
from relay.incident.occasions import Series, state
from relay.incident.plan import Ring
from relay.incident.policy import REDIRECTED
from relay.incident.recurrence import Weekly
from relay.incident.severity import LEAST, Scale, spell_level

LOOK = "holding/look"
PAUSE = "holding/pause"
"""When a window may open that sends home those who were asked."""
DOUBT_FOR = timedelta(minutes=1)
"""How long a firing that may be an echo waits for the resolve that would prove it (see triage)."""
FACTS_WAIT = timedelta(seconds=5)
"""How long an incident too mild to page waits for facts that could make it worse, before it pages all the same."""
MILD_AGAIN = timedelta(days=1)
"""How often an incident too mild to page is looked at again."""
MUTED_AGAIN = timedelta(hours=4)
"""The same for one whose source keeps its alerts to itself; that this ends is told at once."""


REACTS_TO = frozenset(
    {Assessed, AlertsResolved, AlertsMuted, DeadlineMissed, Reconsidered, Triggered, AckExpired, Undeliverable}
)


def react(
    incident: Incident, event: Event, windows: Windows, scale: Scale, covered: Collection[str], now: datetime
) -> Iterator[Event | Effect]:
    """Decide, whenever alerts, severity or time have moved; people who were asked are sent home only by the source.

    That, or a window that pauses escalations: see `paused`. A redirected page that is refused by a target that no
    fallback covers holds nothing any more: somebody must know.
    """
    match event:
        case Triggered():
            would = maintenance.hold(windows, incident.alerts.values(), incident.severity or LEAST, now, shadowed)
            if would is not None:
                yield WouldHold(would.by)
            yield from _expect_pause(windows, now)
        case AckExpired():
            yield from _expect_pause(windows, now)
        case DeadlineMissed("holding/pause") | Reconsidered() if incident.phase == "triggered":
            yield from list(paused(incident, windows, now)) or _expect_pause(windows, now)
        case AlertsMuted() if incident.phase == "triggered":
            if muted := _muteness(incident, now):
                yield from _send_home(incident, muted)
        case Assessed() | AlertsResolved() | AlertsMuted() | DeadlineMissed("holding/look") | Reconsidered():
            if incident.phase != "triggered" and incident.alerts:
                waited = isinstance(event, DeadlineMissed)
                yield from _hold_or_trigger(incident, _reason(incident, windows, scale, now, waited=waited))
        case Undeliverable("Page", key, target, because) if _unheard(incident, key, target, covered):
            yield DeadlineMet(LOOK)
            yield Triggered(f"{target}, which was paged instead, has refused: {because}")


def _unheard(incident: Incident, key: str, target: str, covered: Collection[str]) -> bool:
    """Whether the refusal of a redirected page leaves nobody who knows of what is held."""
    redirected = any(ring.key == key and ring.level == REDIRECTED for ring in incident.refused)
    unheard = incident.phase == "held" and not incident.rings
    return unheard and redirected and not stands_in(incident, key, target, covered)


def paused(incident: Incident, windows: Windows, now: datetime) -> Iterator[Event | Effect]:
    """Close the pages nobody has answered, and hold, where an open window asks for it.

    It does not where the target has refused that it would page instead: somebody must know.
    """
    if any(ring.level == REDIRECTED for ring in incident.refused):
        return
    found = maintenance.hold(windows, incident.alerts.values(), _worst(incident), now, pauses)
    if found is not None and incident.phase == "triggered":
        yield from _send_home(incident, found)


def _expect_pause(windows: Windows, now: datetime) -> Iterator[Event]:
    if at := windows.next_pause(now):
        yield DeadlineSet(PAUSE, at)


def hushed(incident: Incident, windows: Windows, now: datetime) -> datetime | None:
    """Until when even the news of what was paged before is kept back; None when it is not."""
    found = maintenance.hold(windows, incident.alerts.values(), _worst(incident), now, hushes)
    return found.until if found else None


def _worst(incident: Incident) -> int:
    """How bad it may be: what is not known yet never makes it milder."""
    return min(incident.severity or LEAST, incident.could_be or LEAST)


def _send_home(incident: Incident, hold: Hold) -> Iterator[Event | Effect]:
    yield from (ResolvePage(ring.target, ring.key, f"held: {hold.by}") for ring in incident.rings)
    if PAUSE in incident.deadlines:
        yield DeadlineMet(PAUSE)
    yield Held(hold.by, hold.until)
    yield DeadlineSet(LOOK, hold.until)
    if hold.redirect:  # under the round that the hold begins
        yield from _redirect(incident.but(round=incident.round + (incident.step >= 0)), hold)


def _hold_or_trigger(incident: Incident, hold: Hold | None) -> Iterator[Event | Effect]:
    if hold is None:
        yield DeadlineMet(LOOK)
        yield Triggered(_because(incident))
    elif (hold.by, hold.until) != (incident.held_by, incident.deadlines.get(LOOK)):
        yield Held(hold.by, hold.until)
        yield DeadlineSet(LOOK, hold.until)
        if hold.redirect:
            yield from _redirect(incident, hold)


def _redirect(incident: Incident, hold: Hold) -> Iterator[Event | Effect]:
    """Page the target that the window names; once."""
    key = f"{incident.id}/{incident.episode}.{incident.round}/{REDIRECTED}/{hold.redirect}"
    if not any(ring.key == key for ring in (*incident.rings, *incident.refused)):
        because = f"instead of {incident.plan.policy if incident.plan else 'anybody'}: {hold.by}"
        yield Paged(
            Ring(REDIRECTED, hold.redirect, key, f"target {hold.redirect}", incident.round, -1, because=because)
        )


def _because(incident: Incident) -> str:
    if incident.held_by:
        return f"it still fires, and is no longer held by {incident.held_by}"
    return f"{spell_level(incident.severity)}: {incident.because}"


def _reason(incident: Incident, windows: Windows, scale: Scale, now: datetime, *, waited: bool) -> Hold | None:
    severity = incident.severity or LEAST
    return (
        _doubt(incident, now, waited=waited)
        or _damping(incident, now, waited=waited)
        or _mildness(incident, severity, scale, now, waited=waited)
        or _quiet(incident, severity, now, waited=waited)
        or _muteness(incident, now)
        or _window(incident, severity, windows, now, waited=waited)
    )


def _doubt(incident: Incident, now: datetime, *, waited: bool) -> Hold | None:
    if not incident.doubt or waited:
        return None
    since = incident.deadlines.get(LOOK) if incident.held_by == incident.doubt else None
    return Hold(incident.doubt, since or now + DOUBT_FOR)


def _damping(incident: Incident, now: datetime, *, waited: bool) -> Hold | None:
    """The route lets what may end by itself end by itself; once an episode, and before anything else holds it."""
    plan = incident.plan
    if waited or plan is None or not plan.hold_for:
        return None
    by = f"hold_for {spell(plan.hold_for)} of {plan.route}"
    return _again(incident, Hold(by, now + plan.hold_for)) if incident.held_by in ("", by) else None


def _quiet(incident: Incident, severity: int, now: datetime, *, waited: bool) -> Hold | None:
    """What waits for business hours; what an unanswered fact could make worse does not, after a moment."""
    quiet = incident.plan.quiet if incident.plan else None
    if quiet is None or severity < quiet.at_most:
        return None
    zone = ZoneInfo(quiet.zone)
    found = state([Series(zone, Weekly(frozenset(quiet.days), quiet.from_), quiet.to)], now)
    if found.until is not None:
        return None
    by = f"outside of business hours, for {spell_level(quiet.at_most)} and milder ({quiet.place})"
    if incident.could_be is not None and incident.could_be < quiet.at_most:
        return None if waited else _again(incident, Hold(f"{by}, and facts are being looked up", now + FACTS_WAIT))
    return Hold(by, found.edge)


def _mildness(incident: Incident, severity: int, scale: Scale, now: datetime, *, waited: bool) -> Hold | None:
    """Too mild to page. What an unanswered fact could make worse pages after a moment: missing data skips no page."""
    if severity <= scale.page_at_least:
        return None
    by = f"{spell_level(severity)} does not page (severity.page_at_least is {spell_level(scale.page_at_least)})"
    if incident.could_be is None or incident.could_be > scale.page_at_least:
        return _again(incident, Hold(by, now + MILD_AGAIN))
    if waited:
        return None
    return _again(incident, Hold(f"{by}, and facts are being looked up", now + FACTS_WAIT))


def _muteness(incident: Incident, now: datetime) -> Hold | None:
    """Its source was told to keep every one of its alerts to itself."""
    if not incident.muted_by:
        return None
    return _again(incident, Hold("; ".join(incident.muted_by[:3]), now + MUTED_AGAIN))


def _window(incident: Incident, severity: int, windows: Windows, now: datetime, *, waited: bool) -> Hold | None:
    """An open window. What an unanswered fact could make worse than it holds pages after a moment."""
    found = maintenance.hold(windows, incident.alerts.values(), severity, now)
    worst = _worst(incident)
    if found is None or worst == severity or maintenance.hold(windows, incident.alerts.values(), worst, now):
        return found
    if waited:
        return None
    until = min(found.until, now + FACTS_WAIT)
    return _again(incident, Hold(f"{found.by}, and facts are being looked up", until))


def _again(incident: Incident, hold: Hold) -> Hold:
    """Keep the time of a hold that goes on for the same reason: each new alert must not push it away."""
    at = incident.deadlines.get(LOOK)
    return Hold(hold.by, at) if at and incident.held_by == hold.by else hold
