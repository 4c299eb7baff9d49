"""Escalation: level after level is paged until somebody answers. Section `policies:`.

The plan is pinned when the incident opens; who is on call is found at the moment of paging. A level that resolves
to nobody, or that its provider refuses, is passed at once, with the reason. After the last level the policy starts
over as often as `repeat` says, and then rings the last resort until somebody comes.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from relay.config.types import Duration, Placed, at_least
from relay.incident import oncall
from relay.incident.effects import Effect, ResolvePage
from relay.incident.events import (
    AckExpired,
    Acknowledged,
    Assessed,
    DeadlineMet,
    DeadlineMissed,
    DeadlineSet,
    Escalated,
    EscalationExhausted,
    Event,
    LevelPassed,
    Paged,
    Triggered,
    Undeliverable,
)
from relay.incident.holding import paused
from relay.incident.incident import Incident
from relay.incident.maintenance import Windows
from relay.incident.oncall import Override, Person, Rotation
from relay.incident.plan import Jump, Level, Plan, Recipient, Ring
from relay.incident.severity import SeverityLevel, spell_level

LAST_RESORT = "last resort"
ACKNOWLEDGEMENT = "escalation/acknowledgement"
MOST_LEVELS = 20
MOST_RECIPIENTS = 10
"""Of one level; so that a jump over all levels stays below `decide.ENOUGH`."""


class Recipients(Placed):
    """Who is to be rung: exactly one of `rotation`, `person` and `target`."""

    rotation: str = ""
    person: str = ""
    target: str = ""
    via: str = ""
    """Another target than the person's own."""

    @model_validator(mode="after")
    def _exactly_one(self) -> "Recipients":
        if sum(map(bool, (self.rotation, self.person, self.target))) != 1:
            raise ValueError('write exactly one of "rotation", "person" and "target"')
        return self

    def pinned(self) -> Recipient:
        """The value that a plan keeps."""
        kind = "rotation" if self.rotation else "person" if self.person else "target"
        return Recipient(kind, self.rotation or self.person or self.target, self.via)


class PolicyLevel(Placed):
    """One level, and how long it has to answer before the next is paged."""

    name: str = Field(min_length=1)
    page: tuple[Recipients, ...] = Field(min_length=1, max_length=MOST_RECIPIENTS)
    wait: Annotated[Duration, at_least(timedelta(seconds=1))]

    @field_validator("name")
    @classmethod
    def _not_the_last_resort(cls, name: str) -> str:
        if name in (LAST_RESORT, ACKNOWLEDGEMENT.partition("/")[2]):
            raise ValueError("write another name: Relay uses this one itself")
        return name


class PolicyJump(Placed):
    """From a severity on, the levels up to `to` are paged at once."""

    at_least: SeverityLevel
    to: str


class Policy(Placed):
    """An escalation policy."""

    levels: tuple[PolicyLevel, ...] = Field(min_length=1, max_length=MOST_LEVELS)
    jump: tuple[PolicyJump, ...] = ()
    repeat: int = Field(default=0, ge=0, le=100)
    last_resort: tuple[Recipients, ...] = Field(min_length=1, max_length=MOST_RECIPIENTS)
    last_resort_every: Annotated[Duration, at_least(timedelta(minutes=1))] = timedelta(minutes=30)
    until: Literal["acknowledged", "resolved"] = "acknowledged"
    ack_expires: Annotated[Duration, at_least(timedelta(minutes=1))] | None = None

    def plan(self, name: str, revision: str = "", route: str = "") -> Plan:
        """What an incident pins."""
        order = [level.name for level in self.levels]
        return Plan(
            policy=name,
            place=str(self.place),
            levels=tuple(Level(lv.name, tuple(r.pinned() for r in lv.page), lv.wait) for lv in self.levels),
            last_resort=tuple(r.pinned() for r in self.last_resort),
            repeat=self.repeat,
            jumps=tuple(Jump(jump.at_least, order.index(jump.to)) for jump in self.jump if jump.to in order),
            until=self.until,
            last_resort_every=self.last_resort_every,
            ack_expires=self.ack_expires,
            revision=revision,
            route=route,
        )


@dataclass(frozen=True, slots=True)
class Roster:
    """Who can be paged, and who is on call when."""

    people: Mapping[str, Person] = field(default_factory=dict)
    rotations: Mapping[str, Rotation] = field(default_factory=dict)
    overrides: tuple[Override, ...] = ()


REACTS_TO = frozenset({Triggered, DeadlineMissed, Escalated, Assessed, Undeliverable, Acknowledged, AckExpired})


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
            yield from _up_to(_jump(plan, incident.severity), incident, plan, roster, now)
        case DeadlineMissed("escalation/acknowledgement"):
            if incident.phase == "acknowledged" and incident.alerts:
                yield from _expire(incident, plan, now)
        case DeadlineMissed(name) if name.startswith("escalation/"):
            yield from list(paused(incident, windows, now)) or _next(incident, plan, roster, now)
        case Escalated():
            yield from _next(incident, plan, roster, now)
        case Assessed(severity, was=was) if was is not None and severity < was:
            yield from _up_to(_jump(plan, severity), incident, plan, roster, now)
        case Undeliverable("Page", key, target) if target not in covered and _was_asked_last(incident, plan, key):
            # past the last level comes the last resort: starting over would ask those who refuse, at once, again
            yield from _ask(incident.step + 1, incident.round, incident, plan, roster, now)
        case Acknowledged():
            yield from _answered(incident, plan, now)


def _answered(incident: Incident, plan: Plan, now: datetime) -> Iterator[Event | Effect]:
    if plan.until == "acknowledged":
        due = [name for name in incident.deadlines if name.startswith("escalation/") and name != ACKNOWLEDGEMENT]
        yield from (DeadlineMet(name) for name in due)
    if plan.ack_expires is not None:
        yield DeadlineSet(ACKNOWLEDGEMENT, now + plan.ack_expires)


def _expire(incident: Incident, plan: Plan, now: datetime) -> Iterator[Event | Effect]:
    """Stop believing an answer, and close the pages that it was given to; a silence at the source is an answer too."""
    if incident.muted_by and plan.ack_expires is not None:
        yield DeadlineSet(ACKNOWLEDGEMENT, now + plan.ack_expires)
        return
    why = f"the acknowledgement by {incident.acknowledged_by} has expired: people are asked again"
    yield from (ResolvePage(ring.target, ring.key, why) for ring in incident.rings)
    yield AckExpired(incident.acknowledged_by)


def _jump(plan: Plan, severity: int | None) -> int:
    """The number of the level that this severity rings at once."""
    return max((jump.to for jump in plan.jumps if severity is not None and severity <= jump.at_least), default=0)


def _was_asked_last(incident: Incident, plan: Plan, key: str) -> bool:
    """Whether the refused page leaves nobody rung at the level that was asked last. The last resort is never passed."""
    if incident.phase != "triggered" or incident.step >= len(plan.levels):
        return False
    this_level = f"{_prefix(incident)}{incident.round}/{_level_name(plan, incident.step)}/"
    still_rung = any((ring.round, ring.step) == (incident.round, incident.step) for ring in incident.rings)
    return key.startswith(this_level) and not still_rung


def _up_to(to: int, incident: Incident, plan: Plan, roster: Roster, now: datetime) -> Iterator[Event | Effect]:
    """Page every level not yet asked in this round, up to one; each level rings when that one does."""
    for step in range(incident.step + 1, to):
        yield from _ring(step, incident.round, incident, plan, roster, now)
    if incident.step < to:
        yield from _ask(to, incident.round, incident, plan, roster, now)


def _next(incident: Incident, plan: Plan, roster: Roster, now: datetime) -> Iterator[Event | Effect]:
    step, round_ = incident.step + 1, incident.round
    if step > len(plan.levels):
        step = len(plan.levels)  # the last resort has been asked: ask it again
        round_ += 1
    elif step == len(plan.levels) and round_ < plan.repeat:
        step, round_ = 0, round_ + 1
    yield from _ask(step, round_, incident, plan, roster, now)


def _ask(
    step: int, round_: int, incident: Incident, plan: Plan, roster: Roster, now: datetime
) -> Iterator[Event | Effect]:
    """Page a level, or the first after it that resolves to somebody, and expect an answer in time."""
    while True:
        rung = list(_ring(step, round_, incident, plan, roster, now))
        yield from rung
        if step >= len(plan.levels):
            yield EscalationExhausted(plan.policy)
            yield from _expect(LAST_RESORT, plan.last_resort_every, incident, now)
            return
        if any(isinstance(event, Paged) for event in rung):
            last = step + 1 == len(plan.levels)
            coming = plan.levels[0].name if last and round_ < plan.repeat else _level_name(plan, step + 1)
            yield from _expect(coming, plan.levels[step].wait, incident, now)
            return
        step += 1


def _expect(coming: str, wait: timedelta, incident: Incident, now: datetime) -> Iterator[Event | Effect]:
    if incident.phase == "acknowledged" and incident.plan and incident.plan.until == "acknowledged":
        return
    name = f"escalation/{coming}"
    others = [old for old in incident.deadlines if old.startswith("escalation/") and old not in (name, ACKNOWLEDGEMENT)]
    yield from (DeadlineMet(old) for old in others)
    yield DeadlineSet(name, now + wait)


def _ring(
    step: int, round_: int, incident: Incident, plan: Plan, roster: Roster, now: datetime
) -> Iterator[Event | Effect]:
    """Ring everybody a level names; say so when that is nobody."""
    name = _level_name(plan, step)
    recipients = plan.levels[step].page if step < len(plan.levels) else plan.last_resort
    nobody: list[str] = []
    keys: list[str] = []
    for recipient in recipients:
        found = _resolve(recipient, roster, now)
        if isinstance(found, str):
            nobody.append(found)
            continue
        target, person, user, because = found
        key = f"{_prefix(incident)}{round_}/{name}/{recipient.name}"
        keys.append(key)
        if (same := keys.count(key)) > 1:  # one person through two targets, or a rotation called as a person
            key = f"{key}#{same}"
        whom = f"{recipient.kind} {recipient.name}"
        yield Paged(Ring(name, target, key, whom, round_, step, person, user, f"{name} of {plan.policy}: {because}"))
    if len(nobody) == len(recipients):
        yield LevelPassed(name, "; ".join(nobody), round_, step)


def _prefix(incident: Incident) -> str:
    return f"{incident.id}/{incident.episode}."


def _level_name(plan: Plan, step: int) -> str:
    return plan.levels[step].name if step < len(plan.levels) else LAST_RESORT


def _resolve(recipient: Recipient, roster: Roster, now: datetime) -> tuple[str, str, str, str] | str:
    """Find target, person, user and reason for a recipient; or say why it is nobody."""
    if recipient.kind == "target":
        return recipient.name, "", "", "named by the policy"
    name, because = recipient.name, "named by the policy"
    if recipient.kind == "rotation":
        found = oncall.on_call(recipient.name, roster.rotations, roster.overrides, now)
        if found.person is None:
            return found.because
        name, because = found.person, found.because
    person = roster.people.get(name)
    if person is None:
        return f'there is no person "{name}"'
    same = not recipient.via or recipient.via == person.via
    return (
        recipient.via or person.via,
        person.name or name,
        person.user if same else "",
        f"{person.name or name} {because}",
    )


def describe_jump(jump: Jump, plan: Plan) -> str:
    """Say a jump in words, for explanations."""
    return f"{spell_level(jump.at_least)} and worse rings up to {_level_name(plan, jump.to)} at once"
