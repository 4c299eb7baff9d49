"""Scenarios: what shall happen, and what must come of it, as people write it beside their rules (`*_test.yaml`)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, FiniteFloat, ValidationError, WithJsonSchema, model_validator

from relay.config.complaints import Complaint, Rejected, complain_at, complaints_of, suggest, unreadable
from relay.config.document import Document, Unreadable, read
from relay.config.types import Duration, Moment, Placed, Section, Zone
from relay.engine.ruleset import Ruleset
from relay.incident.policy import LAST_RESORT
from relay.incident.severity import SeverityLevel

ENDINGS = ("_test.yaml", "_test.yml")


def _one_or_more(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


def _one_need_be_no_list(schema: dict[str, Any]) -> None:
    """Say so to editors, too."""
    items = schema.pop("items")
    schema["anyOf"] = [items, {"type": schema.pop("type"), "items": items}]


_OR_ONE = Field(json_schema_extra=_one_need_be_no_list)


def _or_unknown(value: Any) -> Any:
    return None if value == "unknown" else value


FactValue = Annotated[
    FiniteFloat | None,
    BeforeValidator(_or_unknown),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"const": "unknown"}]}),
]
Labels = dict[str, str]
Names = Annotated[tuple[str, ...], BeforeValidator(_one_or_more), _OR_ONE]


class Expect(Placed):
    """What must be so now. `paged`, `closed` and `told` speak of what happened since each was last asked for."""

    of: Labels = {}  # noqa: RUF012
    """Labels of the alerts of the incident that is meant; needed only where there are several."""
    paged: Names | None = None
    """Whom, each by level, person or target; in any order, and nobody else."""
    closed: Names | None = None
    """Targets whose pages were closed."""
    told: Names | None = None
    """Targets whose open pages were told news, such as that it has grown or is worse."""
    phase: Literal["held", "triggered", "acknowledged", "resolved", "closed"] | None = None
    severity: SeverityLevel | None = None
    could_be: SeverityLevel | None = None
    because: str = ""
    """A part of the reason for the severity."""
    held_by: str = ""
    """A part of what holds it."""
    due: dict[str, Duration] = {}  # noqa: RUF012
    """Deadlines, by name, and how long until then."""
    says: Names = ()
    """Parts of lines of the timeline."""
    incidents: int | None = Field(default=None, ge=0)
    """How many are open: not resolved, and not closed."""


class SetsSeverity(Placed):
    """Somebody says how severe the incident is."""

    by: str = Field(min_length=1)
    severity: SeverityLevel
    reason: str = Field(min_length=1)


class WritesNote(Placed):
    """Somebody writes something down."""

    by: str = Field(min_length=1)
    text: str = Field(min_length=1)


class Step(Placed):
    """One step: time passes, the world changes, something happens; and then something is expected."""

    after: Duration | None = None
    at: Moment | None = None
    facts: dict[str, FactValue] = {}  # noqa: RUF012
    """What Prometheus answers from now on."""
    pagers: dict[str, Literal["well", "down", "refuses"]] = {}  # noqa: RUF012
    """How targets answer from now on."""
    on_call: dict[str, str] = {}  # noqa: RUF012
    """Whom the providers of schedules name from now on, by e-mail address."""
    fires: Annotated[
        tuple[Labels, ...], BeforeValidator(_one_or_more), Field(json_schema_extra=_one_need_be_no_list)
    ] = ()
    """Alerts, each by all of its labels."""
    since: Duration | None = None
    """How long ago `fires` has begun."""
    annotations: dict[str, str] = {}  # noqa: RUF012
    ends: Annotated[
        tuple[Labels, ...], BeforeValidator(_one_or_more), Field(json_schema_extra=_one_need_be_no_list)
    ] = ()
    """Firing alerts that end, by some of their labels; `{}` ends them all."""
    acknowledge: str = ""
    """Who acknowledges."""
    resolve: str = ""
    """Who resolves the incident by hand."""
    escalate: str = ""
    """Who asks for the next level."""
    set_severity: SetsSeverity | None = None
    note: WritesNote | None = None
    of: Labels = {}  # noqa: RUF012
    """Labels of the alerts of the incident that is acted on; needed only where there are several."""
    source: str = "test"
    expect: Annotated[
        tuple[Expect, ...], BeforeValidator(_one_or_more), Field(json_schema_extra=_one_need_be_no_list)
    ] = ()

    @model_validator(mode="after")
    def _one_time(self) -> "Step":
        if self.after is not None and self.at is not None:
            raise ValueError('write "after" or "at", but not both')
        return self


class Scenario(Placed):
    """One test: it begins at `starts` with nothing firing."""

    name: str = Field(min_length=1)
    starts: Moment
    zone: Zone
    facts: dict[str, FactValue] = {}  # noqa: RUF012
    steps: tuple[Step, ...] = Field(min_length=1)


class ScenarioFile(Section):
    """A file of scenarios."""

    tests: tuple[Scenario, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Scenarios:
    """The scenarios of one file."""

    document: Document
    tests: tuple[Scenario, ...]


def find_scenarios(path: Path) -> list[Path]:
    """Every `*_test.yaml` below a directory (those of Prometheus' own rules left out), or the one file."""
    if path.is_file():
        return [path]
    found = (file for file in path.rglob("*") if file.name.endswith(ENDINGS) and file.is_file())
    return sorted(file for file in found if "prometheus" not in file.relative_to(path).parts[:-1])


def read_scenarios(paths: list[Path], ruleset: Ruleset) -> list[Scenarios]:
    """Read files of scenarios for a set of rules. Raises `Rejected` with every mistake."""
    read_, complaints = [], list[Complaint]()
    for path in paths:
        try:
            document = read(path)
            tests = ScenarioFile.model_validate(document.data).tests
            complaints += _references(document, tests, ruleset)
            read_.append(Scenarios(document, tests))
        except Unreadable as error:
            complaints += unreadable(error)
        except ValidationError as invalid:
            complaints += complaints_of(document, invalid, ScenarioFile)
    if complaints:
        raise Rejected(complaints)
    return read_


def _references(document: Document, tests: tuple[Scenario, ...], ruleset: Ruleset) -> Iterator[Complaint]:
    facts, targets, rings = ruleset.rules.scale.facts, ruleset.targets, names_of_rings(ruleset)
    provided = {name for name, schedule in ruleset.rules.roster.schedules.items() if schedule.provider}
    for i, test in enumerate(tests):
        yield from _unknown(document, ("tests", i, "facts"), test.facts, facts, "fact")
        for j, step in enumerate(test.steps):
            way = ("tests", i, "steps", j)
            yield from _unknown(document, (*way, "facts"), step.facts, facts, "fact")
            yield from _unknown(document, (*way, "pagers"), step.pagers, targets, "target")
            yield from _unknown(document, (*way, "on_call"), step.on_call, provided, "schedule of a provider")
            for k, expect in enumerate(step.expect):
                named = {name: None for name in (*(expect.paged or ()), *(expect.closed or ()))}
                yield from _unknown(document, (*way, "expect", k), named, rings, "level, person or target")


def _unknown(
    document: Document, way: tuple[str | int, ...], written: Any, known: Any, kind: str
) -> Iterator[Complaint]:
    for name in written:
        if name not in known:
            yield complain_at(document, (*way, name), f'there is no {kind} "{name}"', suggest(name, known), key=True)


def names_of_rings(ruleset: Ruleset) -> set[str]:
    """Every word by which a page can be named: levels, people, targets."""
    rules = ruleset.rules
    levels = {level.name for policy in rules.policies.values() for level in policy.levels}
    people = {name for key, person in rules.roster.people.items() for name in (key, person.name) if name}
    return levels | people | set(ruleset.targets) | {LAST_RESORT}
