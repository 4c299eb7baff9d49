"""The incident: what is true of an outage now, as the sum of what has happened to it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from relay.incident.alert import Alert, AlertKey
from relay.incident.events import (
    AckExpired,
    Acknowledged,
    AlertsChanged,
    AlertsFired,
    AlertsMuted,
    AlertsResolved,
    AlertsTruncated,
    Assessed,
    ConditionDated,
    DeadlineMet,
    DeadlineMissed,
    DeadlineSet,
    Event,
    Held,
    LevelPassed,
    Measured,
    Opened,
    Paged,
    Reconsidered,
    Reopened,
    Resolved,
    SeveritySet,
    Triggered,
    Undeliverable,
    WouldAssess,
    WouldJump,
)
from relay.incident.lifecycle import AWAKE, follow
from relay.incident.plan import Plan, Ring

SERVICE_LABELS = ("service", "app", "job", "namespace")
"""Labels that name what is broken, the most telling first."""


@dataclass(frozen=True)
class Incident:
    """One outage. Severity is 1 (worst) to 5, None before it is assessed."""

    id: str
    phase: str = "new"
    group: Mapping[str, str] = field(default_factory=dict)
    plan: Plan | None = None
    alerts: Mapping[AlertKey, Alert] = field(default_factory=dict)
    """The alerts that fire now. They are kept in rows of their own, not in the incident's state."""
    seen: int = 0
    """How many alerts have fired in all."""
    truncated: Mapping[str, int] = field(default_factory=dict)
    """Group of the source to the number of alerts it last left out of a message."""
    muted: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Source to the fingerprints that it keeps to itself (silenced, inhibited), with what does it."""

    severity: int | None = None
    because: str = ""
    could_be: int | None = None
    would_be: int | None = None
    """What rules in shadow would make of it, where that is worse."""
    set_by: str = ""
    """Who has said how severe it is; empty while it is computed."""
    facts: Mapping[str, float] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)

    opened_at: datetime | None = None
    started_at: datetime | None = None
    """When the first of its alerts began to fire, as the source says."""
    condition_since: datetime | None = None
    """Since when the first condition behind its alerts is true, as Prometheus says; None where that is not known."""
    triggered_at: datetime | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    resolved_at: datetime | None = None

    held_by: str = ""
    """What holds it, or held it until it was triggered."""
    beside: str = ""
    """Incidents that the same has held to the same time."""
    doubt: str = ""
    episode: int = 1
    """Counts how often it was opened: pages of different episodes have different keys."""
    round: int = 0
    step: int = -1
    """The level last asked, counted from 0; the number of levels stands for the last resort."""
    first_round: int = 0
    """The round with which people were asked anew: after a hold, or an answer that has expired."""
    answered: tuple[int, int] = (-1, -1)
    """Round and level that were asked last when somebody answered."""
    would_jump: int = -1
    """The farthest level that a jump in shadow would have rung, were it enforced."""
    rings: tuple[Ring, ...] = ()
    """Pages that are open at a provider."""
    refused: tuple[Ring, ...] = ()
    """Pages that a provider refused for good, in this episode."""
    deadlines: Mapping[str, datetime] = field(default_factory=dict)
    """What has to be done by when; each is named after the concern that waits for it."""

    def but(self, **changed: Any) -> "Incident":
        """The same incident with some fields changed: `dataclasses.replace`, at a sixth of its cost."""
        new = object.__new__(Incident)
        new.__dict__.update(self.__dict__, **changed)
        return new

    @property
    def wake_at(self) -> datetime | None:
        """The next moment at which time alone changes something."""
        return min(self.deadlines.values(), default=None)

    def missed(self, now: datetime) -> list[str]:
        """Deadlines that have passed, earliest first."""
        return [name for at, name in sorted((at, name) for name, at in self.deadlines.items()) if at <= now]

    def common_labels(self) -> dict[str, str]:
        """Labels that all its firing alerts share."""
        alerts = iter(self.alerts.values())
        first = next(alerts, None)
        shared = dict(first.labels) if first else {}
        for alert in alerts:
            if not shared.items() <= alert.labels.items():
                shared = {name: value for name, value in shared.items() if alert.labels.get(name) == value}
        return shared

    @property
    def muted_by(self) -> tuple[str, ...]:
        """What keeps every one of its alerts to their sources; empty when one alert is told of."""
        reasons = {self.muted.get(source, {}).get(fingerprint, "") for source, fingerprint in self.alerts}
        return () if "" in reasons else tuple(sorted(reasons))

    @property
    def service(self) -> str:
        """What is broken: the `service` label its alerts share, or what comes nearest."""
        return self.service_of(self.common_labels())

    def service_of(self, common: Mapping[str, str]) -> str:
        """The same, where it is known what labels its alerts share."""
        labels = {**common, **self.group}
        for name in SERVICE_LABELS:
            if labels.get(name):
                return labels[name]
        return next(iter(self.group.values()), "unknown service")


def apply(incident: Incident, event: Event, now: datetime) -> Incident:
    """The incident after the event. The one function that changes an incident. Raises `NotNow`."""
    phase = follow(incident.phase, event)
    if phase != incident.phase:
        awake = AWAKE[phase]
        kept = {name: at for name, at in incident.deadlines.items() if name.partition("/")[0] in awake}
        incident = incident.but(phase=phase, deadlines=kept)
    match event:
        case DeadlineSet(name, at):
            return incident.but(deadlines={**incident.deadlines, name: at})
        case DeadlineMet(name) | DeadlineMissed(name):
            beside = event.beside if isinstance(event, DeadlineMissed) and incident.phase == "held" else incident.beside
            left = {n: at for n, at in incident.deadlines.items() if n != name}
            return incident.but(deadlines=left, beside=beside)
        case Reconsidered(beside):
            return incident.but(beside=beside)
        case AlertsFired() | AlertsChanged() | AlertsResolved() | AlertsTruncated() | AlertsMuted():
            return _alerts_told(incident, event)
        case ConditionDated(since):
            return incident.but(condition_since=min(since, incident.condition_since or since))
        case Assessed() | Measured() | SeveritySet() | WouldAssess():
            return _judged(incident, event)
        case Paged() | LevelPassed() | Undeliverable():
            return _paged(incident, event)
        case _:
            return _moved(incident, event, now)


def _alerts_told(
    incident: Incident, event: AlertsFired | AlertsChanged | AlertsResolved | AlertsTruncated | AlertsMuted
) -> Incident:
    match event:
        case AlertsFired(alerts, doubt):
            starts = [a.starts_at for a in alerts if a.starts_at]
            if incident.started_at:
                starts.append(incident.started_at)
            return incident.but(
                alerts={**incident.alerts, **{alert.key: alert for alert in alerts}},
                seen=incident.seen + len(alerts),
                started_at=min(starts, default=None),
                doubt=doubt if doubt and (incident.doubt or not incident.alerts) else "",
            )
        case AlertsChanged(alerts):
            return incident.but(alerts={**incident.alerts, **{alert.key: alert for alert in alerts}})
        case AlertsResolved(keys):
            ended = set(keys)
            firing = {key: a for key, a in incident.alerts.items() if key not in ended}
            return incident.but(alerts=firing, muted=_firing_only(incident.muted, ended))
        case AlertsTruncated(group, count):
            others = {name: n for name, n in incident.truncated.items() if name != group}
            return incident.but(truncated={**others, group: count} if count else others)
        case AlertsMuted(source, muted):
            silent = {name: told for name, told in incident.muted.items() if name != source}
            return incident.but(muted={**silent, source: muted} if muted else silent)


def _firing_only(
    muted: Mapping[str, Mapping[str, str]], ended: Collection[AlertKey]
) -> Mapping[str, Mapping[str, str]]:
    """What keeps alerts quiet, without those that ended: it says nothing of the next time that they fire."""
    left = {s: {f: by for f, by in told.items() if (s, f) not in ended} for s, told in muted.items()}
    return {source: told for source, told in left.items() if told}


def _judged(incident: Incident, event: Assessed | Measured | SeveritySet | WouldAssess) -> Incident:
    match event:
        case SeveritySet(by):
            return incident.but(set_by=by)
        case WouldAssess(severity):
            return incident.but(would_be=severity)
        case Assessed(severity, because, could_be):
            return incident.but(severity=severity, because=because, could_be=could_be)
        case Measured(values, unknown):
            known = {name: value for name, value in incident.facts.items() if name not in unknown}
            return incident.but(facts={**known, **values}, unknown=unknown)


def _paged(incident: Incident, event: Paged | LevelPassed | Undeliverable) -> Incident:
    match event:
        case Paged(ring, instead_of):
            open_ = tuple(other for other in incident.rings if other.key != instead_of)
            # a fallback rings for a level that may have been passed meanwhile
            round_, step = max((incident.round, incident.step), (ring.round, ring.step))
            return incident.but(rings=(*open_, ring), round=round_, step=step)
        case LevelPassed(_, _, round, step):
            return incident.but(round=round, step=step)
        case Undeliverable(effect, key) if effect == "Page":
            refused = tuple(ring for ring in incident.rings if ring.key == key)
            rings = tuple(ring for ring in incident.rings if ring.key != key)
            return incident.but(rings=rings, refused=(*incident.refused, *refused))
        case _:
            return incident


def _moved(incident: Incident, event: Event, now: datetime) -> Incident:
    match event:
        case Opened(group, plan):
            return incident.but(group=group, plan=plan, opened_at=now)
        case Held(by):
            # whatever else holds it comes after the doubt: that has been waited for, and must not be again
            held = incident.but(held_by=by, doubt=incident.doubt if by == incident.doubt else "")
            # people had been asked: when they are again, it is from the first level, with pages that ring
            anew = held.round + 1
            if held.step < 0:
                return held
            return held.but(step=-1, round=anew, first_round=anew, rings=(), triggered_at=None)
        case Triggered():
            return incident.but(triggered_at=now, doubt="")
        case WouldJump(to):
            return incident.but(would_jump=to)
        case Acknowledged(by):
            return incident.but(acknowledged_at=now, acknowledged_by=by, answered=(incident.round, incident.step))
        case AckExpired():
            # a pager still shows its page as answered: what it says of that one must not count for the next
            anew = incident.round + 1
            again = incident.but(step=-1, round=anew, first_round=anew, rings=())
            return again.but(acknowledged_at=None, acknowledged_by="")
        case Resolved():
            return incident.but(resolved_at=now)
        case Reopened():
            return _again(incident)
        case _:
            return incident


def _again(incident: Incident) -> Incident:
    """The next episode: who was asked and what was due belongs to the one before; how severe it was may stay."""
    starts = [alert.starts_at for alert in incident.alerts.values() if alert.starts_at]
    return incident.but(
        episode=incident.episode + 1,
        round=0,
        first_round=0,
        step=-1,
        would_jump=-1,
        rings=(),
        refused=(),
        deadlines={},
        could_be=None,
        would_be=None,
        facts={},
        unknown={},
        held_by="",
        beside="",
        started_at=min(starts, default=incident.started_at),
        condition_since=None,
        triggered_at=None,
        acknowledged_at=None,
        acknowledged_by="",
        resolved_at=None,
    )
