"""Enacting a scenario: the production engine lives through it, and each expectation is held against what came of it."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from relay.config.document import Place
from relay.config.types import spell, to_utc
from relay.engine.rehearsal import Rehearsal, scratch_database
from relay.engine.ruleset import Ruleset
from relay.engine.scenario import Expect, FactValue, Labels, Scenario, Step
from relay.engine.settle import Said
from relay.incident.effects import Effect, Measure, Page, ResolvePage, UpdatePage
from relay.incident.events import (
    Acknowledged,
    AlertsFired,
    Delivered,
    Escalated,
    Event,
    Measured,
    NoteAdded,
    Paged,
    Resolved,
    SeveritySet,
)
from relay.incident.incident import Incident
from relay.incident.lifecycle import NotNow
from relay.incident.plan import Ring
from relay.incident.schedule import Told, ToldShift
from relay.incident.severity import spell_level
from relay.incident.telling import tell
from relay.integrations.courier import Again, Never

NOT_ENDED = "0001-01-01T00:00:00Z"
ENDLESS = timedelta(days=3650)
OPEN = ("new", "held", "triggered", "acknowledged")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of what happened; `at` is in the scenario's zone."""

    at: datetime
    incident: str
    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    """One expectation that was not met, and what had happened since the last one that looked."""

    place: Place
    problem: str
    since: tuple[Line, ...] = ()


@dataclass(slots=True)
class Outcome:
    """What came of a scenario."""

    scenario: Scenario
    failures: list[Failure] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)


class _Broken(Exception):
    """A step that cannot be done: what follows from it means nothing."""


def enact(scenario: Scenario, ruleset: Ruleset) -> Outcome:
    """Live through a scenario from its first step to its last, or to the first that cannot be done."""
    with scratch_database() as database:
        start = to_utc(scenario.starts, scenario.zone)
        return _Enactment(scenario, ruleset, Rehearsal(database, ruleset.rules, start)).run()


class _Enactment:
    def __init__(self, scenario: Scenario, ruleset: Ruleset, stage: Rehearsal) -> None:
        self._scenario = scenario
        self._people = {person.name: key for key, person in ruleset.rules.roster.people.items() if person.name}
        self._stage = stage
        self._stage.vendor = self._answer
        self._facts: dict[str, FactValue] = dict(scenario.facts)
        self._pagers: dict[str, str] = {}
        self._firing: dict[str, dict[str, Any]] = {}
        self._outcome = Outcome(scenario)
        self._seen_pages: set[str] = set()
        self._seen_ends = 0
        self._seen_news = 0
        self._seen_lines = 0

    def run(self) -> Outcome:
        for step in self._scenario.steps:
            try:
                self._do(step)
            except _Broken as broken:
                self._fail(step.place, str(broken))
                break
            for expect in step.expect:
                problems = list(self._unmet(expect))
                for place, problem in problems:
                    self._fail(place, problem)
                self._seen_lines = len(self._lines()) if not problems else self._seen_lines
        else:
            if unexpected := self._new_pages():
                names = ", ".join(_describe(ring) for ring in unexpected)
                self._fail(self._scenario.place, f"no step expects that these are paged: {names}")
        self._outcome.lines = self._lines()
        return self._outcome

    def _fail(self, place: Place, problem: str) -> None:
        self._outcome.failures.append(Failure(place, problem, tuple(self._lines()[self._seen_lines :])))

    # ---- what happens ----

    def _do(self, step: Step) -> None:
        self._pass(step)
        self._facts.update(step.facts)
        self._pagers.update(step.pagers)
        self._provide(step)
        told = [self._begin(labels, step) for labels in step.fires]
        told += [ended for labels in step.ends for ended in self._end(labels)]
        if told:
            body = {"version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "alerts": told}
            self._stage.receive(json.dumps(body).encode(), step.source)
            self._stage.settle()
        for event in _deeds(step):
            self._act(event, step)
        self._stage.settle()

    def _pass(self, step: Step) -> None:
        now = self._stage.clock.now()
        until = to_utc(step.at, self._scenario.zone) if step.at else now + (step.after or timedelta())
        if until < now:
            raise _Broken(f"this is earlier than the step before it, which is at {self._local(now):%Y-%m-%d %H:%M:%S}")
        self._stage.wait(until)

    def _provide(self, step: Step) -> None:
        """Let providers name who is on call in their schedules, without an end."""
        now, roster = self._stage.clock.now(), self._stage.rules.roster
        told = {
            name: Told(now + ENDLESS, (ToldShift(now, now + ENDLESS, (email,)),))
            for name, email in step.on_call.items()
        }
        self._stage.rules = replace(self._stage.rules, roster=replace(roster, told={**roster.told, **told}))

    def _begin(self, labels: Labels, step: Step) -> dict[str, Any]:
        fingerprint = hashlib.sha256(json.dumps(labels, sort_keys=True).encode()).hexdigest()[:16]
        known = self._firing.get(fingerprint, {})
        starts = known.get("startsAt") or _written(self._stage.clock.now() - (step.since or timedelta()))
        alert = {
            "status": "firing",
            "labels": labels,
            "annotations": step.annotations,
            "startsAt": starts,
            "endsAt": NOT_ENDED,
            "generatorURL": "",
            "fingerprint": fingerprint,
        }
        self._firing[fingerprint] = alert
        return alert

    def _end(self, labels: Labels) -> list[dict[str, Any]]:
        ended = [alert for alert in self._firing.values() if labels.items() <= alert["labels"].items()]
        if not ended:
            raise _Broken(f"no alert fires that has the labels {labels}")
        now = _written(self._stage.clock.now())
        return [{**self._firing.pop(alert["fingerprint"]), "status": "resolved", "endsAt": now} for alert in ended]

    def _act(self, event: Event, step: Step) -> None:
        id_ = self._meant(step.of).id
        try:
            self._stage.submit(id_, event)
        except NotNow as refused:
            raise _Broken(f"{id_}: {refused}") from None

    def _answer(self, effect: Effect) -> Said:
        if isinstance(effect, Measure):
            asked = {name: self._facts.get(name) for name in effect.queries}
            known = {name: float(value) for name, value in asked.items() if value is not None}
            unknown = {name: "the test says nothing of it" for name, value in asked.items() if value is None}
            return Measured(known, {**unknown, **effect.unanswerable})
        match self._pagers.get(effect.target, "well"):
            case "down":
                return Again("it is down")
            case "refuses":
                return Never("it refuses")
        return Delivered(effect.key, effect.target) if isinstance(effect, Page) else None

    # ---- what must have come of it ----

    def _unmet(self, expect: Expect) -> Iterator[tuple[Place, str]]:
        place = expect.place
        if expect.paged is not None:
            rung = self._new_pages()
            if not _pair_up(expect.paged, [self._names(ring) for ring in rung]):
                yield place, _differ("paged", expect.paged, [_describe(ring) for ring in rung])
        if expect.closed is not None:
            closed = self._new_ends()
            if sorted(closed) != sorted(expect.closed):
                yield place, _differ("closed", expect.closed, closed)
        if expect.told is not None:
            told = self._new_news()
            if sorted(told) != sorted(expect.told):
                yield place, _differ("told", expect.told, told)
        if expect.incidents is not None and (count := len(self._stage.incidents(*OPEN))) != expect.incidents:
            yield place, f"incidents: expected {expect.incidents} open, and there are {count}"
        if expect.model_fields_set - {"of", "paged", "closed", "told", "incidents", "place"}:
            try:
                incident = self._meant(expect.of)
            except _Broken as broken:
                yield place, str(broken)
                return
            yield from ((place, problem) for problem in self._unmet_by(incident, expect))

    def _unmet_by(self, incident: Incident, expect: Expect) -> Iterator[str]:
        if expect.phase and incident.phase != expect.phase:
            yield f"phase: expected {expect.phase}, and {incident.id} is {incident.phase}{_why(incident)}"
        for name in ("severity", "could_be"):
            wanted, got = getattr(expect, name), getattr(incident, name)
            if wanted and got != wanted:
                yield f"{name}: expected {spell_level(wanted)}, got {spell_level(got)} ({incident.because})"
        for name in ("because", "held_by"):
            wanted, text = getattr(expect, name), getattr(incident, name)
            if wanted not in text:
                yield f'{name}: expected "{wanted}" in it, got "{text}"'
        yield from self._not_due(incident, expect)
        texts = [tell(entry.event) for entry in self._stage.timeline(incident.id) if entry.event]
        for part in expect.says:
            if not any(part in text for text in texts):
                yield f'says: no line of the timeline of {incident.id} has "{part}"'

    def _not_due(self, incident: Incident, expect: Expect) -> Iterator[str]:
        now = self._stage.clock.now()
        for name, span in expect.due.items():
            at = incident.deadlines.get(name)
            if at is None:
                there = ", ".join(f"{known} in {spell(t - now)}" for known, t in sorted(incident.deadlines.items()))
                yield f'due: {incident.id} has no deadline "{name}"; it has: {there or "none"}'
            elif at - now != span:
                yield f"due: expected {name} in {spell(span)}, and it is due in {spell(at - now)}"

    def _meant(self, labels: Labels) -> Incident:
        found = self._stage.incidents()
        if labels:
            found = [incident for incident in found if self._has(incident, labels)]
        still_open = [incident for incident in found if incident.phase != "closed"] or found[:1]
        match still_open:
            case [incident]:
                return incident
            case []:
                raise _Broken(f"there is no incident{f' with the labels {labels}' if labels else ''}")
        raise _Broken(f"there are {len(still_open)} incidents: say which one, such as of: {{service: checkout}}")

    def _has(self, incident: Incident, labels: Labels) -> bool:
        fired = [entry.event for entry in self._stage.timeline(incident.id) if isinstance(entry.event, AlertsFired)]
        return any(labels.items() <= alert.labels.items() for event in fired for alert in event.alerts)

    def _new_pages(self) -> list[Ring]:
        """Pages since they were last asked for, in order."""
        rings = [
            entry.event.ring
            for incident in reversed(self._stage.incidents())
            for entry in self._stage.timeline(incident.id)
            if isinstance(entry.event, Paged) and entry.event.ring.key not in self._seen_pages
        ]
        self._seen_pages |= {ring.key for ring in rings}
        return rings

    def _new_ends(self) -> list[str]:
        new, self._seen_ends = self._stage.sent[self._seen_ends :], len(self._stage.sent)
        return [sent.effect.target for sent in new if isinstance(sent.effect, ResolvePage) and sent.said is None]

    def _new_news(self) -> list[str]:
        new, self._seen_news = self._stage.sent[self._seen_news :], len(self._stage.sent)
        return sorted({s.effect.target for s in new if isinstance(s.effect, UpdatePage) and s.said is None})

    def _names(self, ring: Ring) -> set[str]:
        return {ring.level, ring.target, ring.person, self._people.get(ring.person, "")}

    def _lines(self) -> list[Line]:
        lines = [
            Line(self._local(entry.recorded_at), incident.id, tell(entry.event))
            for incident in reversed(self._stage.incidents())
            for entry in self._stage.timeline(incident.id)
            if entry.event and not isinstance(entry.event, Delivered)
        ]
        return sorted(lines, key=lambda line: line.at)

    def _local(self, moment: datetime) -> datetime:
        return moment.astimezone(self._scenario.zone)


def _deeds(step: Step) -> Iterator[Event]:
    """What people do in a step, in this order."""
    if step.acknowledge:
        yield Acknowledged(step.acknowledge)
    if step.escalate:
        yield Escalated(step.escalate)
    if said := step.set_severity:
        yield SeveritySet(said.by, said.severity, said.reason)
    if note := step.note:
        yield NoteAdded(note.by, note.text)
    if step.resolve:
        yield Resolved("it is over", step.resolve)


def _pair_up(wanted: Sequence[str], found: Sequence[set[str]]) -> bool:
    """Whether every name can be given to a page of its own, and no page is left."""
    if not wanted:
        return not found
    first, rest = wanted[0], wanted[1:]
    return any(first in names and _pair_up(rest, [*found[:i], *found[i + 1 :]]) for i, names in enumerate(found))


def _differ(what: str, expected: Sequence[str], got: Sequence[str]) -> str:
    return f"{what}: expected {', '.join(expected) or 'nobody'}; got {', '.join(got) or 'nobody'}"


def _describe(ring: Ring) -> str:
    who = f"{ring.person} through {ring.target}" if ring.person else ring.target
    return f"{ring.level} ({who})"


def _why(incident: Incident) -> str:
    return f", by {incident.held_by}" if incident.phase == "held" else ""


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
