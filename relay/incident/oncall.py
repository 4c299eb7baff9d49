"""On-call: who it is, at any moment. Sections `people:`, `overrides:` and `unavailable:`.

Who is on call in a rotation or a schedule is found in this order: an override of that time; whose turn it is; and,
when they are unavailable, the next in the rotation who is not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo

from pydantic import model_validator

from relay.config.types import Moment, Placed, Zone, spell, to_utc
from relay.incident.plan import Recipient
from relay.incident.rotation import Rotation, turn_at, turn_beside, turns
from relay.incident.schedule import Provider, Schedule, Told


class Person(Placed):
    """Somebody who can be paged: through the target `via`, which may know them as `user`."""

    name: str = ""
    via: str
    user: str = ""
    email: str = ""
    """By which schedules of PagerDuty and Opsgenie know them."""
    zone: Zone | None = None
    """Whose nights and weekends are theirs."""


class Override(Placed):
    """Somebody stands in for whoever is on call in a rotation or schedule, or for one of them."""

    rotation: str = ""
    schedule: str = ""
    person: str
    instead_of: str = ""
    """Only while it would be this person's time."""
    starts: Moment
    ends: Moment
    zone: Zone | None = None
    """Of `starts` and `ends`; the rotation's own when it is left out."""
    reason: str = ""

    @property
    def of(self) -> str:
        """The rotation or schedule."""
        return self.rotation or self.schedule

    @model_validator(mode="after")
    def _consistent(self) -> "Override":
        if bool(self.rotation) == bool(self.schedule):
            raise ValueError('write exactly one of "rotation" and "schedule"')
        return self

    @model_validator(mode="after")
    def _ends_later(self) -> "Override":
        _in_order(self.starts, self.ends)
        return self


class Unavailability(Placed):
    """A time in which somebody is not to be paged."""

    person: str
    starts: Moment
    ends: Moment
    zone: Zone | None = None
    """Of `starts` and `ends`; the person's own when it is left out, else UTC."""
    reason: str = ""

    @model_validator(mode="after")
    def _ends_later(self) -> "Unavailability":
        _in_order(self.starts, self.ends)
        return self


def _in_order(starts: datetime, ends: datetime) -> None:
    if starts.tzinfo == ends.tzinfo and ends <= starts:
        raise ValueError('"ends" must be later than "starts"')


@dataclass(frozen=True, slots=True)
class Roster:
    """Who can be paged, and all that says who is on call when. Rotations and schedules share one set of names."""

    people: Mapping[str, Person] = field(default_factory=dict)
    rotations: Mapping[str, Rotation] = field(default_factory=dict)
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    overrides: tuple[Override, ...] = ()
    unavailable: tuple[Unavailability, ...] = ()
    told: Mapping[str, Told] = field(default_factory=dict)
    """What providers have told of their schedules, by name."""
    last_resorts: Mapping[str, tuple[Recipient, ...]] = field(default_factory=dict)
    """Whom policies ring when nobody answers, by name; "" for a policy that is no more."""

    def zone(self, name: str) -> tzinfo:
        """The zone of a rotation, or of the first rotation that a schedule is made of."""
        schedule = self.schedules.get(name)
        named = [schedule.follows, *(layer.rotation for layer in schedule.layers)] if schedule else [name]
        return next((self.rotations[one].zone for one in named if one in self.rotations), UTC)

    def span(self, override: Override) -> tuple[datetime, datetime]:
        """Start and end of an override, in UTC."""
        zone = override.zone or self.zone(override.of)
        return to_utc(override.starts, zone), to_utc(override.ends, zone, end=True)

    def away(self, absence: Unavailability) -> tuple[datetime, datetime]:
        """Start and end of an unavailability, in UTC."""
        person = self.people.get(absence.person)
        zone = absence.zone or (person.zone if person else None) or UTC
        return to_utc(absence.starts, zone), to_utc(absence.ends, zone, end=True)

    def absence(self, person: str, now: datetime) -> Unavailability | None:
        """Why somebody cannot be paged now, if so."""
        of_person = (absence for absence in self.unavailable if absence.person == person)
        return next((absence for absence in of_person if _within(now, self.away(absence))), None)

    def spell(self, person: str) -> str:
        """What timelines call somebody."""
        found = self.people.get(person)
        return found.name or person if found else person


@dataclass(frozen=True, slots=True)
class OnCall:
    """Who is on call, or nobody; and why."""

    person: str | None
    because: str
    others: tuple[str, ...] = ()
    """Who could stand in, the next ones first."""
    planned: str = ""
    """Whose time it would have been, where somebody stands in."""


@dataclass(frozen=True, slots=True)
class Shift:
    """A time in which one person (or nobody) is on call."""

    starts: datetime
    ends: datetime
    on_call: OnCall


@dataclass(frozen=True, slots=True)
class Reached:
    """How somebody is rung, and why they."""

    target: str
    because: str
    person: str = ""
    """What timelines call them."""
    user: str = ""
    key: str = ""
    """Their name in the rules."""


def on_call(name: str, roster: Roster, now: datetime) -> OnCall:
    """Say who is on call in a rotation or a schedule at a moment."""
    planned = _planned(name, roster, now)
    for override in roster.overrides:
        of_this = override.of == name and override.instead_of in ("", planned.person)
        if of_this and _within(now, roster.span(override)):
            whom = f"{roster.spell(override.instead_of)} in {name}" if override.instead_of else name
            because = f"stands in for {whom} ({_why(override.place, override.reason)})"
            return OnCall(override.person, because, planned=planned.person or "")
    absence = roster.absence(planned.person, now) if planned.person else None
    return _instead(planned, absence, roster, now) if absence else planned


def shifts(name: str, roster: Roster, since: datetime, until: datetime) -> list[Shift]:
    """Say who is on call over a time, without a gap: where it is nobody, a shift says so."""
    changes = {moment for moment in changes_of(name, roster, since, until) if since < moment < until}
    found: list[Shift] = []
    for moment in (since, *sorted(changes)):
        now = on_call(name, roster, moment)
        if found and (found[-1].on_call.person, found[-1].on_call.because) == (now.person, now.because):
            continue
        found = [*found[:-1], replace(found[-1], ends=moment)] if found else []
        found.append(Shift(moment, until, now))
    return found


def changes_of(name: str, roster: Roster, since: datetime, until: datetime) -> Iterator[datetime]:
    """Every moment of a time at which somebody else may be on call, in any order."""
    rotation, schedule = roster.rotations.get(name), roster.schedules.get(name)
    if rotation:
        for turn in turns(rotation, since, until):
            yield from (turn.starts, turn.ends)
    elif schedule:
        yield from _changes_of_schedule(name, schedule, roster, since, until)
    for override in roster.overrides:
        if override.of == name:
            yield from roster.span(override)
    for absence in roster.unavailable:
        yield from roster.away(absence)


def _changes_of_schedule(
    name: str, schedule: Schedule, roster: Roster, since: datetime, until: datetime
) -> Iterator[datetime]:
    if schedule.follows:
        yield from changes_of(schedule.follows, roster, since, until)
    for layer in schedule.layers:
        yield from changes_of(layer.rotation, roster, since, until)
        if layer.hours:
            for span in layer.hours.spans(since, until, roster.zone(layer.rotation)):
                yield from span
    if schedule.provider and (told := roster.told.get(name)):
        yield told.at + schedule.provider.stale_after
        for shift in told.shifts:
            yield from (shift.starts, shift.ends)


def reach(recipient: Recipient, roster: Roster, now: datetime, *, always: bool = False) -> Reached | str:
    """Say how a recipient is rung now, or why nobody is. `always` rings whose time it is, even when unavailable."""
    if recipient.kind == "target":
        return Reached(recipient.name, "named by the policy")
    name, because = recipient.name, "named by the policy"
    if recipient.kind != "person":
        found = on_call(recipient.name, roster, now)
        if found.person is None and always:
            found = _although_away(recipient.name, roster, now)
        if found.person is None:
            return found.because
        name, because = found.person, found.because
    elif not always and (absence := roster.absence(name, now)):
        return f"{roster.spell(name)} is unavailable ({_why(absence.place, absence.reason)})"
    person = roster.people.get(name) or _stranger(recipient, name, roster)
    if person is None:
        return f'there is no person "{name}"'
    known = person.name or name
    same = not recipient.via or recipient.via == person.via
    return Reached(recipient.via or person.via, f"{known} {because}", known, person.user if same else "", name)


def _although_away(name: str, roster: Roster, now: datetime) -> OnCall:
    """Whose time it is, where everybody who could be rung is unavailable."""
    found = on_call(name, replace(roster, unavailable=()), now)
    return replace(found, because=f"{found.because}, and is rung although unavailable") if found.person else found


def _stranger(recipient: Recipient, name: str, roster: Roster) -> Person | None:
    """Somebody of a provider's schedule who is not among the people, and is rung through the schedule's target."""
    schedule = roster.schedules.get(recipient.name)
    return Person(via=schedule.via, user=name) if schedule and schedule.via else None


def _planned(name: str, roster: Roster, now: datetime) -> OnCall:
    """Whose time it is, if nobody stands in."""
    rotation, schedule = roster.rotations.get(name), roster.schedules.get(name)
    if rotation:
        turn = turn_at(rotation, now)
        if turn is None:
            return OnCall(None, f"nobody is on call in {name} now ({rotation.place})")
        return OnCall(turn.person, f"is on call in {name} ({rotation.place})", tuple(turn.others()))
    if schedule is None:
        return OnCall(None, f'there is no rotation "{name}"')
    if schedule.follows:
        return _following(name, schedule, roster, now)
    if schedule.provider:
        return _provided(name, schedule, schedule.provider, roster, now)
    return _layered(name, schedule, roster, now)


def _following(name: str, schedule: Schedule, roster: Roster, now: datetime) -> OnCall:
    rotation = roster.rotations[schedule.follows]
    turn = turn_at(rotation, now)
    if turn is None:
        return OnCall(None, f"nobody is on call in {name} now: {schedule.follows} has no turn ({rotation.place})")
    beside = turn_beside(rotation, turn, schedule.offset)
    far, side = abs(schedule.offset), "before" if schedule.offset < 0 else "after"
    when = f"the turn {side}" if far == 1 else f"{far} turns {side}"
    because = f"is on call in {name}, {when} in {schedule.follows} ({schedule.place})"
    who, *others = (beside.person, *beside.others(-1 if schedule.offset < 0 else 1))
    if (busy := on_call(schedule.follows, roster, now)).planned and busy.person == who and others:
        who, *others = others
        because += f", and {roster.spell(busy.person)} stands in there"
    return OnCall(who, because, tuple(others))


def _layered(name: str, schedule: Schedule, roster: Roster, now: datetime) -> OnCall:
    for layer in schedule.layers:
        if layer.hours and not layer.hours.open_at(now, roster.zone(layer.rotation)):
            continue
        if layer.person and not roster.absence(layer.person, now):
            return OnCall(layer.person, f"is on call in {name} ({layer.place})")
        found = on_call(layer.rotation, roster, now) if layer.rotation else None
        if found and found.person is not None:
            return replace(found, because=f"{found.because}, for {name}")
    return OnCall(None, f"nobody is on call in {name} now ({schedule.place})")


def _provided(name: str, schedule: Schedule, provider: Provider, roster: Roster, now: datetime) -> OnCall:
    vendor = "PagerDuty" if provider.type == "pagerduty" else "Opsgenie"
    told = roster.told.get(name)
    if told is None:
        return OnCall(None, f"{vendor} has not told yet who is on call in {name} ({schedule.place})")
    if now >= told.at + provider.stale_after:
        since = spell(now - told.at)
        return OnCall(None, f"{vendor} has not told for {since} who is on call in {name} ({schedule.place})")
    shift = next((shift for shift in told.shifts if shift.starts <= now < shift.ends), None)
    if shift is None:
        return OnCall(None, f"nobody is on call in {name} now, says {vendor} ({schedule.place})")
    wanted = {text.casefold() for text in shift.names if text}
    for key, person in roster.people.items():
        if {person.email.casefold(), person.user.casefold()} & wanted:
            return OnCall(key, f"is on call in {name}, says {vendor} ({schedule.place})")
    stranger = shift.names[0]
    if schedule.via:
        return OnCall(stranger, f"is on call in {name}, says {vendor} ({schedule.place})")
    return OnCall(None, f'{vendor} says that {stranger} is on call in {name}, and no person has this "email"')


def _instead(planned: OnCall, absence: Unavailability, roster: Roster, now: datetime) -> OnCall:
    """Who stands in for somebody who is unavailable."""
    whom = roster.spell(absence.person)
    away = f"{whom} is unavailable ({_why(absence.place, absence.reason)})"
    for other in planned.others:
        if not roster.absence(other, now):
            return OnCall(other, f"{planned.because} instead: {away}", planned=absence.person)
    return OnCall(None, f"{away}, and nobody can stand in", planned=absence.person)


def _within(now: datetime, span: tuple[datetime, datetime]) -> bool:
    return span[0] <= now < span[1]


def _why(place: object, reason: str) -> str:
    return f"{place}, {reason}" if reason else str(place)
