"""The rules of all files together: read, joined, and their references checked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from pydantic import Field

from relay.config.complaints import Complaint, Rejected, complain_at
from relay.config.document import Document
from relay.config.document import Route as Way
from relay.config.matchers import Matcher, parse_matcher
from relay.config.types import OneMatcher, Section
from relay.incident.catalog import Catalog, Service
from relay.incident.decide import Rules
from relay.incident.maintenance import Windows
from relay.incident.oncall import Override, Person, Roster, Unavailability
from relay.incident.plan import Recipient
from relay.incident.policy import Policy, Recipients
from relay.incident.references import Refer
from relay.incident.resolution import Resolution
from relay.incident.roster import contradictions, roster_refers
from relay.incident.rotation import Rotation
from relay.incident.routing import Root, Route
from relay.incident.schedule import Schedule
from relay.incident.severity import LEAST, Fact, Scale, Severity
from relay.incident.window import Window


class Watchdog(Section):
    """The `watchdog:` section: the alert that always fires."""

    matchers: tuple[OneMatcher, ...] = Field(min_length=1)


class RuleFile(Section):
    """Everything that a rule file may hold. `targets:` is added by the integrations, which know their kinds."""

    route: Root | None = None
    routes: tuple[Route, ...] = ()
    policies: dict[str, Policy] = Field(default_factory=dict)
    people: dict[str, Person] = Field(default_factory=dict)
    rotations: dict[str, Rotation] = Field(default_factory=dict)
    schedules: dict[str, Schedule] = Field(default_factory=dict)
    overrides: tuple[Override, ...] = ()
    unavailable: tuple[Unavailability, ...] = ()
    windows: tuple[Window, ...] = ()
    severity: Severity | None = None
    facts: dict[str, Fact] = Field(default_factory=dict)
    services: dict[str, Service] = Field(default_factory=dict)
    resolution: Resolution | None = None
    watchdog: Watchdog | None = None


Files = Sequence[tuple[Document, RuleFile]]
NAMED = ("policies", "people", "rotations", "schedules", "facts", "services", "targets")
"""Sections that are mappings of names."""


def join(files: Files, targets: Iterable[str], revision: str = "", link_base: str = "") -> Rules:
    """Make one set of rules of all files (at least one), in their order. Raises `Rejected` with all that is wrong."""
    known = _Known(files, targets)
    complaints = mistakes(files, targets)
    complaints = complaints or list(contradictions(files, known.roster))  # what leads nowhere cannot be followed
    root = next((file.route for _, file in files if file.route), None)
    if complaints or root is None:
        raise Rejected(complaints)
    return Rules(
        root=root,
        routes=tuple(route for _, file in files for route in file.routes),
        policies=known.policies,
        scale=_scale(files),
        windows=Windows(window for _, file in files for window in file.windows),
        roster=replace(known.roster, last_resorts=_last_resorts(known.policies, root.policy)),
        services=Catalog(known.services),
        resolution=next((file.resolution for _, file in files if file.resolution), Resolution()),
        watchdog=_watchdog(files),
        revision=revision,
        link_base=link_base.rstrip("/"),
    )


def _last_resorts(policies: Mapping[str, Policy], default: str) -> dict[str, tuple[Recipient, ...]]:
    found = {name: tuple(one.pinned() for one in policy.last_resort) for name, policy in policies.items()}
    return {**found, "": found[default]}


def mistakes(files: Files, targets: Iterable[str]) -> list[Complaint]:
    """Complain about what is written twice, what leads nowhere, and a root that is missing.

    A file may lack sections that its document has, because they cannot be used: their names are known all the same.
    """
    names = _Names(files, targets)
    complaints = [*_written_once(files), *_references(files, names)]
    if all(document.data.get("route") is None for document, _ in files):
        complaints.append(_no_root(files))
    return complaints


class _Names:
    """Every name that can be referred to."""

    def __init__(self, files: Files, targets: Iterable[str]) -> None:
        self.targets = {*targets, *written(files, "targets")}
        self.policies, self.people = written(files, "policies"), written(files, "people")
        self.rotations, self.schedules = written(files, "rotations"), written(files, "schedules")
        self.services, self.facts = written(files, "services"), written(files, "facts")


def written(files: Files, section: str) -> set[str]:
    """The names in a section of all files, usable or not."""
    sections = (document.data.get(section) for document, _ in files)
    return {name for names in sections if isinstance(names, dict) for name in names}


class _Known:
    """What the names stand for."""

    def __init__(self, files: Files, targets: Iterable[str]) -> None:
        self.targets = set(targets)
        self.policies = {name: policy for _, file in files for name, policy in file.policies.items()}
        self.roster = Roster(
            people={name: person for _, file in files for name, person in file.people.items()},
            rotations={name: rotation for _, file in files for name, rotation in file.rotations.items()},
            schedules={name: schedule for _, file in files for name, schedule in file.schedules.items()},
            overrides=tuple(override for _, file in files for override in file.overrides),
            unavailable=tuple(absence for _, file in files for absence in file.unavailable),
        )
        self.services = {name: service for _, file in files for name, service in file.services.items()}
        self.facts = {name: fact for _, file in files for name, fact in file.facts.items()}


def _scale(files: Files) -> Scale:
    sections = [file.severity for _, file in files if file.severity]
    return Scale(
        default=next((s.default for s in sections if s.default), 3),
        page_at_least=next((s.page_at_least for s in sections if s.page_at_least), LEAST),
        measure_every=next((s.measure_every for s in sections if s.measure_every), timedelta(minutes=1)),
        lower_after=next((s.lower_after for s in sections if s.lower_after), None),
        rules=tuple(rule for section in sections for rule in section.rules),
        facts={name: fact for _, file in files for name, fact in file.facts.items()},
    )


def _watchdog(files: Files) -> tuple[Matcher, ...]:
    written = next((file.watchdog for _, file in files if file.watchdog), None)
    return written.matchers if written else (parse_matcher('alertname="Watchdog"'),)


def _no_root(files: Files) -> Complaint:
    advice = 'add a "route:" with "policy" and "group_by": it catches every alert that no other route wants'
    return complain_at(files[0][0], (), "no file has a root route", advice)


def _written_once(files: Files) -> Iterable[Complaint]:
    """Complain about a name, or a section of which there can be one, that a second file writes again."""
    seen: dict[Way, str] = {}
    for document, file in files:
        for section in NAMED:
            names = "rotations" if section == "schedules" else section  # they share one set of names
            for name in getattr(file, section, {}):
                yield from _again(seen, document, (section, name), (names, name))
        for section in ("route", "resolution", "watchdog"):
            if getattr(file, section) is not None:
                yield from _again(seen, document, (section,))
        for key in ("default", "page_at_least", "measure_every", "lower_after"):
            if file.severity and getattr(file.severity, key) is not None:
                yield from _again(seen, document, ("severity", key))
        for number, window in enumerate(file.windows):
            yield from _again(seen, document, ("windows", number), ("windows", window.name))


def _again(seen: dict[Way, str], document: Document, way: Way, name: Way = ()) -> Iterable[Complaint]:
    name = name or way
    if name in seen:
        yield complain_at(
            document,
            way,
            f'"{name[-1]}" is written already in {seen[name]}',
            "keep one of them, or rename it",
            key=True,
        )
    else:
        seen[name] = str(document.keys.get(way, document.values[()]))


def _references(files: Files, known: _Names) -> Iterable[Complaint]:
    for document, file in files:
        refer = Refer(document)
        if file.route:
            yield from _routes_refer(refer, file.route, ("route",), known)
        for i, route in enumerate(file.routes):
            yield from _routes_refer(refer, route, ("routes", i), known)
        for name, policy in file.policies.items():
            yield from _policy_refers(refer, policy, ("policies", name), known)
        yield from roster_refers(refer, file, known)
        yield from _windows_refer(refer, file, known)
        for name, service in file.services.items():
            for i, other in enumerate(service.depends_on):
                yield from refer.check(("services", name, "depends_on", i), other, known.services, "service")
        for i, rule in enumerate(file.severity.rules if file.severity else ()):
            for fact in rule.facts:
                yield from refer.check(("severity", "rules", i, "facts", fact), fact, known.facts, "fact", key=True)


def _windows_refer(refer: Refer, file: RuleFile, known: _Names) -> Iterable[Complaint]:
    for i, window in enumerate(file.windows):
        if window.redirect:
            yield from refer.check(("windows", i, "redirect"), window.redirect, known.targets, "target")
        for j, target in enumerate(window.announce.to if window.announce else ()):
            yield from refer.check(("windows", i, "announce", "to", j), target, known.targets, "target")


def _routes_refer(refer: Refer, route: Root | Route, way: Way, known: _Names) -> Iterable[Complaint]:
    if route.policy is not None:
        yield from refer.check((*way, "policy"), route.policy, known.policies, "policy")
    for i, child in enumerate(route.routes):
        yield from _routes_refer(refer, child, (*way, "routes", i), known)


def _policy_refers(refer: Refer, policy: Policy, way: Way, known: _Names) -> Iterable[Complaint]:
    names = [level.name for level in policy.levels]
    for i, level in enumerate(policy.levels):
        yield from _recipients_refer(refer, level.page, (*way, "levels", i, "page"), known)
        if level.name in names[:i]:
            yield complain_at(
                refer.document, (*way, "levels", i, "name"), f'two levels are called "{level.name}"', "rename one"
            )
    yield from _recipients_refer(refer, policy.last_resort, (*way, "last_resort"), known)
    if not any(recipient.person or recipient.target for recipient in policy.last_resort):
        problem = "this last resort may be nobody: at times nobody may be on call there"
        yield complain_at(refer.document, (*way, "last_resort"), problem, "add a person or a target")
    for i, jump in enumerate(policy.jump):
        yield from refer.check((*way, "jump", i, "to"), jump.to, names, "level")
        for fact in jump.facts:
            yield from refer.check((*way, "jump", i, "facts", fact), fact, known.facts, "fact", key=True)


def _recipients_refer(refer: Refer, page: tuple[Recipients, ...], way: Way, known: _Names) -> Iterable[Complaint]:
    kinds = (
        ("rotation", known.rotations),
        ("schedule", known.schedules),
        ("person", known.people),
        ("target", known.targets),
    )
    for i, recipients in enumerate(page):
        for kind, names in kinds:
            name = getattr(recipients, kind)
            if name:
                yield from refer.check((*way, i, kind), name, names, kind)
        if recipients.via:
            yield from refer.check((*way, i, "via"), recipients.via, known.targets, "target")
