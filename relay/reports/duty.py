"""Who is on call: in each rotation and schedule, and at each level of each policy."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from relay.incident.decide import Rules
from relay.incident.oncall import Reached, Roster, reach, shifts
from relay.incident.plan import Recipient
from relay.incident.policy import LAST_RESORT, Policy

AHEAD = timedelta(days=60)
"""How far ahead the next person is looked for."""


@dataclass(frozen=True, slots=True)
class Duty:
    """Who is on call in a rotation or schedule, until when, and who after them."""

    name: str
    kind: str
    """`rotation` or `schedule`."""
    zone: str
    person: str
    """What timelines call them; empty for nobody."""
    because: str
    until: datetime | None
    """None when it does not change within 60 days."""
    then: str


@dataclass(frozen=True, slots=True)
class LevelDuty:
    """Whom a level of a policy would ring."""

    policy: str
    level: str
    rings: tuple[str, ...]
    """People, each with the target that rings them; or a target alone."""
    nobody: tuple[str, ...]
    """Why a recipient would not be rung."""


def duties(roster: Roster, now: datetime) -> list[Duty]:
    """Say who is on call in each rotation and schedule at a moment."""
    kinds = {**dict.fromkeys(roster.rotations, "rotation"), **dict.fromkeys(roster.schedules, "schedule")}
    return [_duty(name, kind, roster, now) for name, kind in kinds.items()]


def _duty(name: str, kind: str, roster: Roster, now: datetime) -> Duty:
    first, *later = shifts(name, roster, now, now + AHEAD)
    found = first.on_call
    person = roster.spell(found.person) if found.person else ""
    changed = next((shift for shift in later if shift.on_call.person != found.person), None)
    then = (roster.spell(changed.on_call.person) if changed.on_call.person else "nobody") if changed else ""
    until = changed.starts if changed else None
    return Duty(name, kind, str(roster.zone(name)), person, found.because, until, then)


def level_duties(rules: Rules, now: datetime) -> list[LevelDuty]:
    """Say whom each level of each policy would ring at a moment."""
    return [
        _level(policy, level, recipients, rules.roster, now)
        for policy, written in rules.policies.items()
        for level, recipients in levels(written)
    ]


def levels(policy: Policy) -> Iterator[tuple[str, tuple[Recipient, ...]]]:
    """The levels of a policy and its last resort, with their recipients."""
    for level in policy.levels:
        yield level.name, tuple(recipient.pinned() for recipient in level.page)
    yield LAST_RESORT, tuple(recipient.pinned() for recipient in policy.last_resort)


def _level(policy: str, level: str, recipients: tuple[Recipient, ...], roster: Roster, now: datetime) -> LevelDuty:
    found = [reach(recipient, roster, now, always=level == LAST_RESORT) for recipient in recipients]
    rings = tuple(dict.fromkeys(_spell(one) for one in found if isinstance(one, Reached)))
    return LevelDuty(policy, level, rings, tuple(one for one in found if isinstance(one, str)))


def _spell(reached: Reached) -> str:
    return f"{reached.person} through {reached.target}" if reached.person else reached.target
