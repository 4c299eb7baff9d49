"""Severity: SEV-1 (worst) to SEV-5, computed from labels and facts. Sections `severity:` and `facts:`.

Every rule is evaluated and the worst that holds wins. A fact is a number looked up in Prometheus, or unknown; what
is unknown never lowers a severity, and what it could still make of it is shown. While an incident is open its
severity only rises.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    FiniteFloat,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from relay.config.matchers import all_match
from relay.config.promql import UnknownFunction, read_query
from relay.config.types import Duration, OneMatcher, Placed, Section, at_least
from relay.incident.alert import Alert
from relay.incident.effects import Effect, Measure
from relay.incident.events import (
    AlertsFired,
    AlertsResolved,
    Assessed,
    DeadlineMet,
    DeadlineMissed,
    DeadlineSet,
    Event,
    Measured,
    Reopened,
    SeveritySet,
    WouldAssess,
)
from relay.incident.incident import Incident

LEAST = 5
WORST_FOR_PEOPLE = 2
"""This severity and worse are lowered by people alone."""
LOWER = "severity/lower"


def _read_level(value: Any) -> int:
    found = re.fullmatch(r"(?i)sev-?([1-5])", str(value))
    if found:
        return int(found[1])
    if type(value) is int and 1 <= value <= LEAST:
        return value
    raise ValueError("write SEV-1 (worst) to SEV-5")


def spell_level(level: int | None) -> str:
    """Write a severity as people say it."""
    return "SEV-?" if level is None else f"SEV-{level}"


SeverityLevel = Annotated[
    int,
    BeforeValidator(_read_level),
    PlainSerializer(spell_level),
    WithJsonSchema({"type": "string", "enum": [f"SEV-{n}" for n in range(1, LEAST + 1)]}),
]

_SLOT = re.compile(r"\{\{\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*\}\}")
_SAFE_SLOT = re.compile(rf'="{_SLOT.pattern}"')


class Fact(Placed):
    """A number that Prometheus knows. `{{label}}` stands for a label that all alerts of the incident share."""

    promql: str = Field(min_length=1)
    unit: str = ""

    @field_validator("promql")
    @classmethod
    def _can_be_asked(cls, promql: str) -> str:
        if "{{" in _SAFE_SLOT.sub("", promql):
            raise ValueError('write {{label}} only as a whole value after = or !=, such as service="{{service}}"')
        with suppress(UnknownFunction):
            read_query(_SLOT.sub("x", promql))
        return promql

    def unknown_function(self) -> str:
        """Name a function of the query that the parser does not know, if there is one: perhaps a newer one."""
        try:
            read_query(_SLOT.sub("x", self.promql))
        except UnknownFunction as error:
            return str(error)
        return ""


class Threshold(Placed):
    """When a fact counts: at this value or beyond."""

    at_least: FiniteFloat | None = None
    at_most: FiniteFloat | None = None

    @model_validator(mode="after")
    def _one_side(self) -> "Threshold":
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError('write either "at_least" or "at_most"')
        return self

    def holds(self, value: float) -> bool:
        """Compare a known value."""
        return value >= self.at_least if self.at_least is not None else value <= (self.at_most or 0.0)

    def __str__(self) -> str:
        return f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"


class SeverityRule(Placed):
    """Alerts that meet all `matchers`, while all `facts` hold, are at least this severe."""

    name: str = ""
    mode: Literal["enforce", "shadow"] = "enforce"
    """A shadow changes nothing: the timeline says what it would have made of it."""
    severity: SeverityLevel
    matchers: tuple[OneMatcher, ...] = ()
    facts: dict[str, Threshold] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_something(self) -> "SeverityRule":
        if not self.matchers and not self.facts:
            raise ValueError('write "matchers", "facts" or both; for everything else there is "default"')
        return self

    def verdict(self, facts: Mapping[str, float]) -> bool | None:
        """Say whether the thresholds hold: yes, no, or unknown. One that does not hold decides, whatever is unknown."""
        verdicts = [limit.holds(facts[name]) if name in facts else None for name, limit in self.facts.items()]
        return False if False in verdicts else None if None in verdicts else True

    def because(self, facts: Mapping[str, float]) -> str:
        """Give the rule as a reason: its name or conditions, where it stands, and the values that met it."""
        values = [f"{name} = {facts[name]:g} ({limit})" for name, limit in self.facts.items()]
        return "; ".join(
            [
                f"rule {self.name or ', '.join(map(str, self.matchers))} ({self.place})".replace("rule  ", "rule "),
                *values,
            ]
        )


class Severity(Section):
    """The `severity:` section. Several files may add rules; one of them says the default."""

    default: SeverityLevel | None = None
    page_at_least: SeverityLevel | None = None
    """The least severe that still pages (SEV-5 when left out: everything pages)."""
    measure_every: Annotated[Duration, at_least(timedelta(seconds=1))] | None = None
    lower_after: Annotated[Duration, at_least(timedelta(minutes=1))] | None = None
    """How long it must have been milder, with nothing unknown, before it is lowered; never when left out."""
    rules: tuple[SeverityRule, ...] = ()


@dataclass(frozen=True, slots=True)
class Scale:
    """The severity rules of all files together."""

    default: int = 3
    page_at_least: int = LEAST
    measure_every: timedelta = timedelta(minutes=1)
    lower_after: timedelta | None = None
    rules: tuple[SeverityRule, ...] = ()
    facts: Mapping[str, Fact] = field(default_factory=dict)


def assess(scale: Scale, alerts: Iterable[Alert], facts: Mapping[str, float], mode: str = "enforce") -> Assessed:
    """Evaluate every rule; the worst that holds wins, with the reason and the values.

    With the mode `shadow`, rules in shadow count as well.
    """
    alerts = list(alerts)
    counting = [rule for rule in scale.rules if mode in ("shadow", rule.mode)]
    applying = [rule for rule in counting if any(all_match(rule.matchers, a.labels) for a in alerts)]
    hits = [rule for rule in applying if rule.verdict(facts) is True]
    worst = min(
        hits, key=lambda rule: rule.severity, default=None
    )  # min keeps the first of equals: the list is the order
    severity = worst.severity if worst else scale.default
    open_questions = [r for r in applying if r.severity < severity and r.verdict(facts) is None]
    return Assessed(
        severity,
        worst.because(facts) if worst else "no rule applies: the default",
        min((rule.severity for rule in open_questions), default=None),
        tuple(sorted({name for rule in open_questions for name in rule.facts if name not in facts})),
    )


REACTS_TO = frozenset({AlertsFired, AlertsResolved, Reopened, Measured, SeveritySet, DeadlineMissed})


def react(incident: Incident, event: Event, scale: Scale, now: datetime) -> Iterator[Event | Effect]:
    """Assess when alerts or facts come; ask for facts that could make it worse, again and again while it is open."""
    match event:
        case AlertsFired(alerts=fresh):
            assessed = _raise_only(incident, _with_open_questions(incident, assess(scale, fresh, incident.facts)))
            yield assessed
            yield from _would(incident, scale, fresh, assessed)
            if "severity/measure" not in incident.deadlines:
                yield from _measure(incident, assessed.severity, scale, now)
            yield from _consider_lower(incident, scale, now)
        case AlertsResolved() if incident.alerts and incident.severity is not None:
            yield from _consider_lower(incident, scale, now)
        case Reopened():
            assessed = _anew(incident, assess(scale, incident.alerts.values(), {}))
            yield assessed
            yield from _measure(incident, assessed.severity, scale, now)
        case DeadlineMissed("severity/measure"):
            yield from _measure(incident, incident.severity or LEAST, scale, now)
        case Measured():
            assessed = _raise_only(incident, assess(scale, incident.alerts.values(), incident.facts))
            yield assessed
            yield from _would(incident, scale, incident.alerts.values(), assessed)
            yield from _consider_lower(incident, scale, now)
        case DeadlineMissed("severity/lower"):
            if (milder := _milder(incident, scale)) is not None:
                yield replace(milder, was=incident.severity)
        case SeveritySet(by, severity, reason):
            yield Assessed(severity, f"{by} says so: {reason}", was=incident.severity)


def _anew(incident: Incident, new: Assessed) -> Assessed:
    """What comes back is judged anew, but for what people alone may lower: what they have said, and SEV-1 and SEV-2."""
    kept = incident.set_by or (incident.severity or LEAST) <= WORST_FOR_PEOPLE
    return replace(_raise_only(incident, new), was=None) if kept else new


def _would(incident: Incident, scale: Scale, alerts: Iterable[Alert], assessed: Assessed) -> Iterator[WouldAssess]:
    """Say what rules in shadow would have made of it, whenever that is worse than was said before."""
    if any(rule.mode == "shadow" for rule in scale.rules):
        would = assess(scale, alerts, incident.facts, "shadow")
        if would.severity < min(assessed.severity, incident.would_be or LEAST + 1):
            yield WouldAssess(would.severity, would.because)


def _with_open_questions(incident: Incident, fresh: Assessed) -> Assessed:
    """An assessment of the fresh alerts alone leaves open what the others have left open."""
    could_be = min((level for level in (fresh.could_be, incident.could_be) if level), default=None)
    return replace(fresh, could_be=could_be)


def _raise_only(incident: Incident, new: Assessed) -> Assessed:
    """At once it only gets worse; and what somebody has said stands, beside what is computed."""
    if incident.severity is None or (new.severity < incident.severity and not incident.set_by):
        could_be = new.could_be if new.could_be and new.could_be < new.severity else None
        return Assessed(new.severity, new.because, could_be, new.unknown, incident.severity)
    worst = min(new.severity, new.could_be or LEAST) if incident.set_by else new.could_be
    could_be = worst if worst and worst < incident.severity else None
    return Assessed(incident.severity, incident.because, could_be, new.unknown, incident.severity)


def _consider_lower(incident: Incident, scale: Scale, now: datetime) -> Iterator[Event]:
    """Wait and see whether it stays milder, for as long as the rules say."""
    if scale.lower_after is None:
        return
    is_milder = _milder(incident, scale) is not None
    if is_milder and LOWER not in incident.deadlines:
        yield DeadlineSet(LOWER, now + scale.lower_after)
    elif not is_milder and LOWER in incident.deadlines:
        yield DeadlineMet(LOWER)


def _milder(incident: Incident, scale: Scale) -> Assessed | None:
    """What it would be now, where that is milder, nothing is unknown, and a machine may say so (not of SEV-1 and 2)."""
    if incident.set_by or incident.severity is None or incident.severity <= WORST_FOR_PEOPLE or incident.truncated:
        return None
    new = assess(scale, incident.alerts.values(), incident.facts)
    return new if new.severity > incident.severity and new.could_be is None else None


def _measure(incident: Incident, severity: int, scale: Scale, now: datetime) -> Iterator[Event | Effect]:
    """Ask for the facts of rules that would make it worse than it is; of all, where it may become milder."""
    alerts = incident.alerts.values()
    may_be_lowered = scale.lower_after is not None and severity > WORST_FOR_PEOPLE
    wanted = {
        name
        for rule in scale.rules
        if rule.severity < severity or may_be_lowered
        if rule.facts and any(all_match(rule.matchers, alert.labels) for alert in alerts)
        for name in rule.facts
    }
    wanted |= {limit.fact for jump in (incident.plan.jumps if incident.plan else ()) for limit in jump.facts}
    wanted &= scale.facts.keys()  # the plan was pinned under other rules, perhaps
    if wanted:
        labels = {**incident.common_labels(), **incident.group}
        yield ask(scale, sorted(wanted), labels)
        yield DeadlineSet("severity/measure", now + scale.measure_every)


def ask(scale: Scale, names: Iterable[str], labels: Mapping[str, str]) -> Measure:
    """Fill the labels into the facts' queries. A fact whose label is not there cannot be asked for."""
    queries, unanswerable = {}, {}
    for name in names:
        fact = scale.facts[name]
        missing = [slot for slot in _SLOT.findall(fact.promql) if slot not in labels]
        if missing:
            unanswerable[name] = f"the alerts share no label {', '.join(missing)}"
        else:
            queries[name] = _SLOT.sub(lambda slot: _quoted(labels[slot[1]]), fact.promql)
    return Measure(queries, unanswerable)


def _quoted(value: str) -> str:
    """Make a label's value safe inside a PromQL string."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
