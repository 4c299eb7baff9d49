"""What the API gives and takes, as models: they make the answers and the OpenAPI document."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from relay.incident.alert import Alert
from relay.incident.incident import Incident
from relay.incident.lifecycle import RINGING, possible
from relay.incident.severity import SeverityLevel, spell_level
from relay.incident.telling import tell
from relay.incident.wording import title
from relay.store.reading import Entry


class AlertView(BaseModel):
    """An alert that fires."""

    source: str
    fingerprint: str
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: datetime | None
    generator_url: str


class RingView(BaseModel):
    """A page that is open at its target."""

    level: str
    recipient: str
    person: str
    target: str
    key: str
    because: str
    tries: int | None = None
    """How often it was tried in vain, while its target has not accepted it; none once it has, and in lists."""


class IncidentView(BaseModel):
    """An incident as it is now."""

    id: str
    title: str
    phase: str
    severity: str
    because: str
    could_be: str | None
    service: str
    policy: str
    group: dict[str, str]
    opened_at: datetime | None
    started_at: datetime | None
    """When its first alert fired."""
    condition_since: datetime | None
    """Since when the condition behind it is true, as Prometheus says: earlier by the `for:` of its rule."""
    triggered_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str
    resolved_at: datetime | None
    held_by: str
    firing: int
    seen: int
    episode: int
    pages: list[RingView]
    deadlines: dict[str, datetime]
    facts: dict[str, float]
    unknown: dict[str, str]
    """Facts that could not be looked up, and why."""
    can: list[str]
    """What people can do with it now."""


class EntryView(BaseModel):
    """A line of a timeline."""

    seq: int
    occurred_at: datetime
    recorded_at: datetime
    kind: str
    actor: str
    text: str


class IncidentDetail(IncidentView):
    """An incident with its alerts and its timeline."""

    alerts: list[AlertView]
    alerts_left_out: int
    timeline: list[EntryView]


class IncidentList(BaseModel):
    """Incidents, the newest first. `next` is what to send as `before` for more."""

    incidents: list[IncidentView]
    next: int | None


class Said(BaseModel):
    """What came of a command."""

    said: str
    incident: IncidentView


class Refusal(BaseModel):
    """Why something was not done."""

    error: str


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Acknowledge(_Asked):
    """Say that somebody is on it."""

    note: str = Field(default="", max_length=10_000)


class Resolve(_Asked):
    """Say that it is over."""

    because: str = Field(default="resolved by hand", min_length=1, max_length=10_000)


class Note(_Asked):
    """Write something down."""

    text: str = Field(min_length=1, max_length=10_000)


class Escalate(_Asked):
    """Page the next level now."""

    reason: str = Field(default="", max_length=10_000)


class SetSeverity(_Asked):
    """Say how severe it is."""

    severity: SeverityLevel
    reason: str = Field(min_length=1, max_length=10_000)


class QuarantineView(BaseModel):
    """Something that could not be used."""

    id: int
    inbox: int
    source: str
    received_at: datetime
    position: int
    reason: str
    body: str


class QuarantineList(BaseModel):
    """What could not be used, the newest first."""

    quarantine: list[QuarantineView]


class ErrandView(BaseModel):
    """Something that is still to be asked of the world."""

    incident: str
    kind: str
    target: str
    key: str
    severity: int
    created_at: datetime
    due_at: datetime
    """When it is tried; while it is being tried, when it is tried again if nothing is heard of it."""
    attempts: int
    """How often it was tried in vain."""
    claimed: bool
    """Whether it is being tried now."""


class Outbox(BaseModel):
    """What is still to be asked of the world, the most severe first."""

    errands: list[ErrandView]


class RefusalView(BaseModel):
    """Something that a target has refused for good."""

    incident: str
    recorded_at: datetime
    text: str


class Refusals(BaseModel):
    """What targets have refused for good, the newest first."""

    refusals: list[RefusalView]


class Verification(BaseModel):
    """What is wrong with the timelines: nothing, when `problems` is empty."""

    incidents: int
    problems: dict[str, list[str]]


MOST_ALERTS = 200
"""Alerts that one answer lists; the rest are counted."""


def view(incident: Incident, now: datetime) -> IncidentView:
    """An incident as the API shows it."""
    return IncidentView(**_fields(incident, now))


def detail(incident: Incident, entries: list[Entry], waiting: Mapping[str, int], now: datetime) -> IncidentDetail:
    """An incident with its alerts and its timeline. `waiting` are tries of pages not accepted yet, by key."""
    alerts = sorted(incident.alerts.values(), key=lambda alert: alert.key)
    return IncidentDetail(
        **_fields(incident, now, waiting),
        alerts=[_alert(alert) for alert in alerts[:MOST_ALERTS]],
        alerts_left_out=max(0, len(alerts) - MOST_ALERTS),
        timeline=[_entry(entry) for entry in entries],
    )


def refusal(incident: str, entry: Entry) -> RefusalView:
    """A refusal as the API shows it."""
    return RefusalView(incident=incident, recorded_at=entry.recorded_at, text=_entry(entry).text)


def _fields(incident: Incident, now: datetime, waiting: Mapping[str, int] | None = None) -> dict[str, Any]:
    plain = (
        "id phase because service group opened_at started_at condition_since triggered_at acknowledged_at "
        "acknowledged_by resolved_at held_by seen episode deadlines facts unknown"
    )
    return {
        **{name: getattr(incident, name) for name in plain.split()},
        "title": title(incident, incident.service, now),
        "severity": spell_level(incident.severity),
        "could_be": spell_level(incident.could_be) if incident.could_be else None,
        "policy": incident.plan.policy if incident.plan else "",
        "firing": len(incident.alerts),
        "pages": [
            RingView(
                level=r.level,
                recipient=r.recipient,
                person=r.person,
                target=r.target,
                key=r.key,
                because=r.because,
                tries=waiting.get(r.key) if waiting else None,
            )
            for r in (incident.rings if incident.phase in RINGING else ())
        ],
        "can": possible(incident.phase),
    }


def _alert(alert: Alert) -> AlertView:
    return AlertView(
        source=alert.source,
        fingerprint=alert.fingerprint,
        labels=dict(alert.labels),
        annotations=dict(alert.annotations),
        starts_at=alert.starts_at,
        generator_url=alert.generator_url,
    )


def _entry(entry: Entry) -> EntryView:
    return EntryView(
        seq=entry.seq,
        occurred_at=entry.occurred_at,
        recorded_at=entry.recorded_at,
        kind=entry.kind,
        actor=entry.actor,
        text=tell(entry.event) if entry.event else "(removed)",
    )
