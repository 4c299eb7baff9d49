"""Escalation: level after level is paged until somebody answers. Section `policies:`.

The plan is pinned when the incident opens, but for the last resort; who is on call is found at the moment of paging.
A level that resolves to nobody, or that its provider refuses, is passed at once, with the reason. After the last level
the policy starts over as often as `repeat` says, and then rings the last resort until somebody comes.
"""

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from relay.config.types import duration, spell, spell_exactly
from relay.incident.effects import Effect, ResolvePage
from relay.incident.events import (
    AckExpired,
    Acknowledged,
    Assessed,
    DeadlineMet,
    DeadlineMissed,
    DeadlineSet,
    Delivered,
    Escalated,
    EscalationExhausted,
    Event,
    LevelPassed,
    Paged,
    Triggered,
    Undeliverable,
    WouldJump,
)
from relay.incident.fallback import answered, is_instead, stands_in
from relay.incident.holding import paused
from relay.incident.incident import Incident
from relay.incident.maintenance import Windows
from relay.incident.oncall import Reached, Roster, reach
from relay.incident.plan import Jump, Plan, Recipient, Ring
from relay.incident.policy import ACKNOWLEDGEMENT, AFTER, LAST_RESORT
from relay.incident.severity import LEAST, spell_level

REACTS_TO = frozenset(
    {Triggered, DeadlineMissed, Escalated, Assessed, Delivered, Undeliverable, Acknowledged, AckExpired}
)


def react(
    incident: Incident, event: Event, roster: Roster, covered: Collection[str], windows: Windows, now: datetime
) -> Iterator[Event | Effect]:
    """Page the first level at once, and the next whenever nobody answers in time.

    A page refused by a target that is `covered` by a fallback passes no level: the fallback is paged instead.
    """
    plan = incident.plan
    assert plan is not None, "an incident without a plan cannot be triggered"
    match event:
        case Triggered() | AckExpired():
            held = list(paused(incident, windows, now)) if isinstance(event, AckExpired) else ()
            yield from held or _begin(incident, plan, roster, now)
        case DeadlineMissed("escalation/acknowledgement"):
            if incident.phase == "acknowledged":
                yield from _expire(incident, plan, now)
        case DeadlineMissed(name) if name.startswith(AFTER):
            yield from _follow_jumps(incident, plan, roster, now, duration(name.removeprefix(AFTER)))
        case DeadlineMissed(name) if name.startswith("escalation/"):
            yield from list(paused(incident, windows, now)) or _next(incident, plan, roster, now)
        case Escalated():
            yield from _next(incident, plan, roster, now)
        case Assessed() if plan.jumps and incident.step >= 0:  # it comes after each measurement, too
            yield from _follow_jumps(incident, plan, roster, now)
        case Undeliverable("Page", key, target) if _passes(incident, plan, key, target, covered):
            # past the last level comes the last resort: starting over would ask those who refuse, at once, again
            yield from _ask(incident.step + 1, incident.round, incident, plan, roster, now)
        case Acknowledged() | Delivered():
            yield from _answered(incident, event, plan, now)


def _begin(incident: Incident, plan: Plan, roster: Roster, now: datetime) -> Iterator[Event | Effect]:
    yield from _follow_jumps(incident, plan, roster, now)
    yield from _expect_jumps(plan, now)


def _answered(incident: Incident, event: Event, plan: Plan, now: datetime) -> Iterator[Event | Effect]:
    """Somebody is on it, or a provider that has taken the page in sees to who is asked next."""
    acknowledged = isinstance(event, Acknowledged)
    taken = isinstance(event, Delivered) and plan.escalation == "provider" and _asks(incident, event.key)
    if taken or (acknowledged and plan.until == "acknowledged"):
        yield from (DeadlineMet(name) for name in _asking(incident))
    if acknowledged and plan.ack_expires is not None:
        yield DeadlineSet(ACKNOWLEDGEMENT, now + plan.ack_expires)


def _asks(incident: Incident, key: str) -> bool:
    """Whether it is a page of the levels that are being asked: not of an episode before, a window, or a fallback."""
    asked = any(ring.key == key and ring.round == incident.round and ring.step >= 0 for ring in incident.rings)
    return asked and not is_instead(incident, key)


def _expire(incident: Incident, plan: Plan, now: datetime) -> Iterator[Event | Effect]:
    """Stop believing an answer, and close the pages that it was given to; a silence at the source is an answer too."""
    if (incident.muted_by or not incident.alerts) and plan.ack_expires is not None:
        yield DeadlineSet(ACKNOWLEDGEMENT, now + plan.ack_expires)
        return
    why = f"the acknowledgement by {incident.acknowledged_by} has expired: people are asked again"
    yield from (ResolvePage(ring.target, ring.key, why) for ring in incident.rings)
    yield AckExpired(incident.acknowledged_by)


def _follow_jumps(
    incident: Incident, plan: Plan, roster: Roster, now: datetime, waited: timedelta = timedelta()
) -> Iterator[Event | Effect]:
    """Page the levels up to which a jump leads, and say where one in shadow would have led.

    People have been needed for as long as was `waited`, though the clock was set back meanwhile.
    """
    to_ring = _jump(incident, plan, now, waited)
    to, why = _jump(incident, plan, now, waited, "shadow")
    if why and to > max(incident.step, incident.would_jump, to_ring[0]):
        yield WouldJump(to, _level_name(plan, to), why)
    yield from _up_to(to_ring, incident, plan, roster, now)


def _jump(
    incident: Incident, plan: Plan, now: datetime, waited: timedelta = timedelta(), mode: str = "enforce"
) -> tuple[int, str]:
    """The number of the level up to which all are rung at once, and why; what is not known lets nobody be rung."""
    needed_for = max(waited, now - (incident.triggered_at or now))
    severity = incident.severity or LEAST
    jumps = (jump for jump in plan.jumps if jump.mode == mode)
    holding = [jump for jump in jumps if jump.holds(severity, incident.facts, needed_for)]
    farthest = max(holding, key=lambda jump: jump.to, default=None)
    return (farthest.to, _describe(farthest, plan)) if farthest else (0, "")


def _expect_jumps(plan: Plan, now: datetime) -> Iterator[Event]:
    """Look again when people have been needed for as long as a jump asks."""
    for span in sorted({jump.after for jump in plan.jumps if jump.after}):
        yield DeadlineSet(f"{AFTER}{spell_exactly(span)}", now + span)


def _passes(incident: Incident, plan: Plan, key: str, target: str, covered: Collection[str]) -> bool:
    """Whether a refused page lets the next level be asked at once."""
    return _was_asked_last(incident, plan, key) and not stands_in(incident, key, target, covered)


def _was_asked_last(incident: Incident, plan: Plan, key: str) -> bool:
    """Whether the refused page leaves nobody rung at the level that was asked last. The last resort is never passed."""
    if answered(incident, key) or incident.step >= len(plan.levels):
        return False
    this_level = f"{_prefix(incident)}{incident.round}/{_level_name(plan, incident.step)}/"
    still_rung = any((ring.round, ring.step) == (incident.round, incident.step) for ring in incident.rings)
    return key.startswith(this_level) and not still_rung


def _up_to(
    jump: tuple[int, str], incident: Incident, plan: Plan, roster: Roster, now: datetime
) -> Iterator[Event | Effect]:
    """Page every level not yet asked in this round, up to one."""
    to, why = jump
    if incident.step < to:
        yield from _through(incident.step + 1, to, incident.round, incident, plan, roster, now, why)


def _through(
    first: int, last: int, round_: int, incident: Incident, plan: Plan, roster: Roster, now: datetime, why: str = ""
) -> Iterator[Event | Effect]:
    """Page levels at once, and expect the answer that the last of them has time for; `why` those but the first."""
    for step in range(first, last):
        yield from _ring(step, round_, incident, plan, roster, now, why)
    yield from _ask(last, round_, incident, plan, roster, now, why)


def _next(incident: Incident, plan: Plan, roster: Roster, now: datetime) -> Iterator[Event | Effect]:
    step, round_, last, why = incident.step + 1, incident.round, incident.step + 1, ""
    if step > len(plan.levels):
        step = last = len(plan.levels)  # the last resort has been asked: ask it again
        round_ += 1
    elif step == len(plan.levels) and _repeats(incident, plan, round_):
        step, round_ = 0, round_ + 1
        last, why = _jump(incident, plan, now)
    yield from _through(step, last, round_, incident, plan, roster, now, why)


def _ask(
    step: int, round_: int, incident: Incident, plan: Plan, roster: Roster, now: datetime, why: str = ""
) -> Iterator[Event | Effect]:
    """Page a level, or the first after it that resolves to somebody, and expect an answer in time."""
    while True:
        rung = list(_ring(step, round_, incident, plan, roster, now, why))
        yield from rung
        if step >= len(plan.levels):
            yield EscalationExhausted(plan.policy)
            yield from _expect(LAST_RESORT, plan.last_resort_every, incident, now)
            return
        if any(isinstance(event, Paged) for event in rung):
            last = step + 1 == len(plan.levels)
            again = last and _repeats(incident, plan, round_)
            coming = plan.levels[0].name if again else _level_name(plan, step + 1)
            yield from _expect(coming, plan.levels[step].wait, incident, now)
            return
        step += 1


def _repeats(incident: Incident, plan: Plan, round_: int) -> bool:
    """Whether the policy starts over; rounds that a hold or an expired answer has ended do not count."""
    return round_ - incident.first_round < plan.repeat


def _expect(coming: str, wait: timedelta, incident: Incident, now: datetime) -> Iterator[Event | Effect]:
    if incident.phase == "acknowledged" and incident.plan and incident.plan.until == "acknowledged":
        return
    name = f"escalation/{coming}"
    yield from (DeadlineMet(old) for old in _asking(incident) if old != name)
    yield DeadlineSet(name, now + wait)


def _asking(incident: Incident) -> list[str]:
    """Deadlines at which the next is asked."""
    names = (name for name in incident.deadlines if name.startswith("escalation/"))
    return [name for name in names if name != ACKNOWLEDGEMENT and not name.startswith(AFTER)]


def _ring(
    step: int, round_: int, incident: Incident, plan: Plan, roster: Roster, now: datetime, why: str = ""
) -> Iterator[Event | Effect]:
    """Ring everybody a level names, once; say so when that is nobody. The first level needs no jump to be rung."""
    name = _level_name(plan, step)
    recipients = plan.levels[step].page if step < len(plan.levels) else _last_resort(plan, roster)
    nobody: list[str] = []
    everybody: dict[tuple[str, str, str], tuple[Recipient, Reached, list[str]]] = {}
    for recipient in recipients:
        found = reach(recipient, roster, now, always=name == LAST_RESORT)
        if isinstance(found, str):
            nobody.append(found)
            continue
        who = (found.key, found.target, found.user)
        everybody.setdefault(who, (recipient, found, []))[2].append(found.because)
    keys: list[str] = []
    for recipient, found, reasons in everybody.values():
        key = f"{_prefix(incident)}{round_}/{name}/{recipient.name}"
        keys.append(key)
        if (same := keys.count(key)) > 1:  # one person through two targets, or a rotation called as a person
            key = f"{key}#{same}"
        whom = f"{recipient.kind} {recipient.name}"
        because = f"{name} of {plan.policy}: {', and '.join(reasons)}" + (f"; {why}" if why and step else "")
        yield Paged(Ring(name, found.target, key, whom, round_, step, found.person, found.user, because))
    if len(nobody) == len(recipients):
        yield LevelPassed(name, "; ".join(nobody), round_, step)


def _last_resort(plan: Plan, roster: Roster) -> tuple[Recipient, ...]:
    """The last resort of today: whom the plan has pinned may be gone from the rules, and somebody must come."""
    return roster.last_resorts.get(plan.policy) or roster.last_resorts.get("") or plan.last_resort


def _prefix(incident: Incident) -> str:
    return f"{incident.id}/{incident.episode}."


def _level_name(plan: Plan, step: int) -> str:
    return plan.levels[step].name if step < len(plan.levels) else LAST_RESORT


def _describe(jump: Jump, plan: Plan) -> str:
    facts = "".join(f" while {limit}" for limit in jump.facts)
    after = f" after {spell(jump.after)}" if jump.after else ""
    up_to = _level_name(plan, jump.to)
    return f"{spell_level(jump.at_least)} and worse{facts}{after} rings up to {up_to} at once ({jump.place})"
