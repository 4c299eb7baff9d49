"""What is wrong with who will be on call: times without anybody, levels that ring nobody new, strange clocks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from itertools import combinations, pairwise

from relay.config.types import spell
from relay.incident.decide import Rules
from relay.incident.oncall import Reached, Roster, changes_of, reach, shifts
from relay.incident.plan import Recipient
from relay.incident.policy import LAST_RESORT
from relay.incident.rotation import Rotation, Turn, turns
from relay.incident.schedule import Schedule
from relay.reports.duty import levels

UNCOVERED, TWICE, STANDS_IN, CLOCKS, NOT_KNOWN = "uncovered", "twice", "stands in", "clocks", "not known"
PROBLEMS = (UNCOVERED, TWICE)
"""Kinds that somebody should do something about; the others are good to know."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a time to come."""

    kind: str
    where: str
    """A policy and its level, or a rotation or schedule."""
    starts: datetime
    ends: datetime
    text: str
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class _Time:
    """A time in which a level rings the same people."""

    starts: datetime
    ends: datetime
    rings: frozenset[str]
    """People, and targets that are named without one."""
    nobody: str
    """Why it rings nobody."""


def gaps(rules: Rules, since: datetime, until: datetime) -> list[Finding]:
    """Look through a time to come."""
    found = [
        *_levels(rules, since, until),
        *_rotations(rules.roster, since, until),
        *_schedules(rules.roster, since, until),
    ]
    return sorted(found, key=lambda finding: (finding.kind not in PROBLEMS, finding.starts, finding.where))


def _levels(rules: Rules, since: datetime, until: datetime) -> Iterator[Finding]:
    for name, policy in rules.policies.items():
        yield from _of_policy(name, dict(levels(policy)), rules.roster, since, until)


def _rotations(roster: Roster, since: datetime, until: datetime) -> Iterator[Finding]:
    for name, rotation in roster.rotations.items():
        yield from _stand_ins(name, roster, since, until)
        yield from _clocks(name, rotation, roster, since, until)


def _schedules(roster: Roster, since: datetime, until: datetime) -> Iterator[Finding]:
    for name, schedule in roster.schedules.items():
        if schedule.follows:
            yield from _stand_ins(name, roster, since, until)
        yield from _hours(name, schedule, roster, since, until)
        if schedule.provider and name not in roster.told:
            text = f"{schedule.provider.type} owns it: the running service knows it (relay who)"
            yield Finding(NOT_KNOWN, name, since, until, text)


def _of_policy(
    name: str, asked: Mapping[str, tuple[Recipient, ...]], roster: Roster, since: datetime, until: datetime
) -> Iterator[Finding]:
    times = {level: list(_times(recipients, roster, since, until)) for level, recipients in asked.items()}
    times.pop(LAST_RESORT)  # rules that would let it be nobody are refused
    for level, found in times.items():
        zone = _zone(asked[level], roster)
        for time in _merged([time for time in found if not time.rings and not _owned(asked[level], roster)]):
            text = f"nobody is on call: {time.nobody}"
            yield Finding(UNCOVERED, f"{name} {level}", time.starts, time.ends, text, zone)
    for one, other in combinations(times, 2):
        for time in _merged(_in_vain(times[one], times[other], roster)):
            text = f"{other} rings nobody but {time.nobody}, who was rung at {one}"
            yield Finding(TWICE, f"{name} {one}, {other}", time.starts, time.ends, text, _zone(asked[one], roster))


def _times(recipients: tuple[Recipient, ...], roster: Roster, since: datetime, until: datetime) -> Iterator[_Time]:
    changes = {since, until}
    for recipient in recipients:
        changes |= {moment for moment in changes_of(recipient.name, roster, since, until) if since < moment < until}
    for starts, ends in pairwise(sorted(changes)):
        found = [reach(recipient, roster, starts) for recipient in recipients]
        rung = [one for one in found if isinstance(one, Reached)]
        nobody = "; ".join(one for one in found if isinstance(one, str))
        yield _Time(starts, ends, frozenset(one.key or one.target for one in rung), nobody)


def _merged(times: Iterable[_Time]) -> Iterator[_Time]:
    """Times that follow each other for the same reason, as one."""
    current: _Time | None = None
    for time in times:
        if current and current.ends == time.starts and current.nobody == time.nobody:
            current = replace(current, ends=time.ends)
            continue
        if current:
            yield current
        current = time
    if current:
        yield current


def _in_vain(earlier: Sequence[_Time], later: Sequence[_Time], roster: Roster) -> Iterator[_Time]:
    """When the later level rings nobody whom the earlier one has not rung; `nobody` says whom."""
    for one in earlier:
        for other in later:
            starts, ends = max(one.starts, other.starts), min(one.ends, other.ends)
            if starts < ends and other.rings and other.rings <= one.rings:
                whom = ", ".join(sorted(map(roster.spell, other.rings)))
                yield _Time(starts, ends, other.rings, whom)


def _stand_ins(name: str, roster: Roster, since: datetime, until: datetime) -> Iterator[Finding]:
    """Who stands in for somebody unavailable: an override would say whether they know."""
    for shift in shifts(name, roster, since, until):
        if shift.on_call.planned and shift.on_call.person and " is unavailable (" in shift.on_call.because:
            text = f"{roster.spell(shift.on_call.person)} {shift.on_call.because}"
            yield Finding(STANDS_IN, name, shift.starts, shift.ends, text, str(roster.zone(name)))


def _clocks(name: str, rotation: Rotation, roster: Roster, since: datetime, until: datetime) -> Iterator[Finding]:
    for turn in turns(rotation, since, until):
        who, zone = roster.spell(turn.person), str(rotation.zone)
        if turn.starts >= since and (strange := _strange(_written(turn), rotation.zone)):
            text = f"{who} takes over at {_written(turn):%H:%M}, which {strange}"
            yield Finding(CLOCKS, name, turn.starts, turn.ends, text, zone)
        elif turn.ends - turn.starts not in (turn.version.every, *_cut_short(turn)):
            text = f"the turn of {who} is {spell(turn.ends - turn.starts)} long, as clocks change in it"
            yield Finding(CLOCKS, name, turn.starts, turn.ends, text, zone)


def _written(turn: Turn) -> datetime:
    """When a turn begins, as the clocks should show."""
    return datetime.combine(turn.version.day + turn.number * turn.version.every, turn.version.handover.at)


def _cut_short(turn: Turn) -> list[timedelta]:
    """The length of a turn that a change, or the end of the rotation, has cut short."""
    length = turn.ends - turn.starts
    return [length] if abs(length - turn.version.every) > timedelta(hours=3) else []


def _hours(name: str, schedule: Schedule, roster: Roster, since: datetime, until: datetime) -> Iterator[Finding]:
    """Layers that begin or end in an hour that clocks skip or repeat."""
    for layer in schedule.layers:
        if not layer.hours:
            continue
        zone = layer.hours.zone or roster.zone(layer.rotation)
        for starts, ends in layer.hours.spans(since, until, zone):
            for moment, at in ((starts, layer.hours.from_), (ends, layer.hours.to)):
                if strange := _strange(datetime.combine(moment.astimezone(zone).date(), at), zone):
                    text = f"the layer of {layer.rotation or layer.person} changes at {at:%H:%M}, which {strange}"
                    yield Finding(CLOCKS, name, starts, ends, text, str(zone))


def _strange(wall: datetime, zone: tzinfo) -> str:
    """Say when clocks show a time never, or twice, on its day."""
    first, last = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    if first is None or last is None or first == last:
        return ""
    if first < last:
        return f"clocks skip on that day: it is {spell(last - first)} later"
    return "clocks show twice on that day"


def _owned(recipients: tuple[Recipient, ...], roster: Roster) -> bool:
    """Whether a provider says who it is: that is not known here."""
    names = (recipient.name for recipient in recipients if recipient.kind == "schedule")
    return any(roster.schedules[name].provider is not None and name not in roster.told for name in names)


def _zone(recipients: tuple[Recipient, ...], roster: Roster) -> str:
    return next((str(roster.zone(recipient.name)) for recipient in recipients if recipient.kind != "target"), "UTC")
