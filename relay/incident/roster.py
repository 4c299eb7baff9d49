"""What cannot be so in the sections about on-call: names that nobody has, and overrides that contradict each other."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol

from relay.config.complaints import Complaint, complain_at
from relay.config.document import Document
from relay.config.document import Route as Way
from relay.incident.oncall import Override, Person, Roster, Unavailability, shifts
from relay.incident.references import Refer
from relay.incident.rotation import Rotation
from relay.incident.schedule import Schedule


class RosterFile(Protocol):
    """The sections of a rule file that are about on-call."""

    people: dict[str, Person]
    rotations: dict[str, Rotation]
    schedules: dict[str, Schedule]
    overrides: tuple[Override, ...]
    unavailable: tuple[Unavailability, ...]


class Names(Protocol):
    """Names that sections about on-call can refer to."""

    people: set[str]
    rotations: set[str]
    schedules: set[str]
    targets: set[str]


def roster_refers(refer: Refer, file: RosterFile, known: Names) -> Iterator[Complaint]:
    """Complain about names that nobody, or nothing, has."""
    for name, person in file.people.items():
        yield from refer.check(("people", name, "via"), person.via, known.targets, "target")
    for name, rotation in file.rotations.items():
        yield from _people(refer, ("rotations", name, "people"), rotation.people, known)
        for i, change in enumerate(rotation.changes):
            yield from _people(refer, ("rotations", name, "changes", i, "people"), change.people, known)
    for name, schedule in file.schedules.items():
        yield from _schedule_refers(refer, ("schedules", name), schedule, known)
    for i, override in enumerate(file.overrides):
        way: Way = ("overrides", i)
        for key, names in (("rotation", known.rotations), ("schedule", known.schedules)):
            if getattr(override, key):
                yield from refer.check((*way, key), getattr(override, key), names, key)
        yield from _people(refer, way, (override.person,), known, "person")
        if override.instead_of:
            yield from _people(refer, way, (override.instead_of,), known, "instead_of")
    for i, absence in enumerate(file.unavailable):
        yield from _people(refer, ("unavailable", i), (absence.person,), known, "person")


def _people(refer: Refer, way: Way, names: Sequence[str], known: Names, key: str = "") -> Iterator[Complaint]:
    for i, name in enumerate(names):
        yield from refer.check((*way, key or i), name, known.people, "person")


def _schedule_refers(refer: Refer, way: Way, schedule: Schedule, known: Names) -> Iterator[Complaint]:
    if schedule.follows:
        yield from refer.check((*way, "follows"), schedule.follows, known.rotations, "rotation")
    if schedule.via:
        yield from refer.check((*way, "via"), schedule.via, known.targets, "target")
    for i, layer in enumerate(schedule.layers):
        if layer.rotation:
            yield from refer.check((*way, "layers", i, "rotation"), layer.rotation, known.rotations, "rotation")
        if layer.person:
            yield from refer.check((*way, "layers", i, "person"), layer.person, known.people, "person")


def contradictions(files: Sequence[tuple[Document, RosterFile]], roster: Roster) -> Iterator[Complaint]:
    """Complain about overrides of which nobody could say what they mean. Every name must be known."""
    seen: list[Override] = []
    for document, file in files:
        for i, override in enumerate(file.overrides):
            span, way = roster.span(override), ("overrides", i)
            if span[1] <= span[0]:
                advice = f'mind the zone: "{override.of}" is in {roster.zone(override.of)}'
                yield complain_at(document, way, '"ends" must be later than "starts"', advice)
                continue
            yield from _overlaps(document, way, override, seen, roster)
            if override.instead_of and not _would_be(override, roster, span):
                problem = f'"{override.instead_of}" is not on call in "{override.of}" then'
                advice = f"write whom it is about: {_those(override, roster, span)}"
                yield complain_at(document, (*way, "instead_of"), problem, advice)
            yield from _away(document, (*way, "person"), override, span, roster)
            seen.append(override)


Span = tuple[datetime, datetime]


def _overlaps(
    document: Document, way: Way, override: Override, seen: list[Override], roster: Roster
) -> Iterator[Complaint]:
    """Two overrides of one rotation at the same time, unless they are about two people."""
    for other in seen:
        if other.of != override.of or (override.instead_of and other.instead_of not in ("", override.instead_of)):
            continue
        if _overlap(roster.span(override), roster.span(other)):
            problem = f'this override of "{override.of}" overlaps the one at {other.place}'
            yield complain_at(document, way, problem, "end one where the other starts")


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _planned(override: Override, roster: Roster, span: Span) -> list[str]:
    """Who would be on call in the time of an override, if nobody stood in."""
    plain = Roster(people=roster.people, rotations=roster.rotations, schedules=roster.schedules)
    return [shift.on_call.person or "nobody" for shift in shifts(override.of, plain, *span)]


def _would_be(override: Override, roster: Roster, span: Span) -> bool:
    schedule = roster.schedules.get(override.of)
    if schedule and schedule.provider:
        return True  # only the provider knows
    return override.instead_of in _planned(override, roster, span)


def _those(override: Override, roster: Roster, span: Span) -> str:
    return ", ".join(dict.fromkeys(_planned(override, roster, span)))


def _away(document: Document, way: Way, override: Override, span: Span, roster: Roster) -> Iterator[Complaint]:
    for absence in roster.unavailable:
        if absence.person == override.person and _overlap(span, roster.away(absence)):
            problem = f'"{override.person}" is unavailable then ({absence.place})'
            yield complain_at(document, way, problem, "write somebody who is not")
