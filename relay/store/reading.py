"""Looking things up: incidents, timelines, quarantine and counts, as they stand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Row, func, select

from relay.incident.alert import Alert, AlertKey
from relay.incident.effects import Page
from relay.incident.events import Event, Paged
from relay.incident.incident import Incident
from relay.incident.lifecycle import PHASES
from relay.incident.reconcile import Firing
from relay.store import tables
from relay.store.chain import Link, verify
from relay.store.encoding import read_event, read_incident, read_texts

log = structlog.get_logger()

CHUNK = 5_000
"""Values in one statement."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a timeline. `event` is None when its body was removed."""

    seq: int
    occurred_at: datetime
    recorded_at: datetime
    kind: str
    actor: str
    event: Event | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits, for metrics."""

    inbox: int
    inbox_oldest: datetime | None
    outbox: int
    outbox_oldest: datetime | None
    earliest_deadline: datetime | None
    phases: dict[str, int]


def list_incidents(
    connection: Connection, phases: Sequence[str], limit: int, before: int | None, *, alerts: bool = True
) -> list[Incident]:
    """Incidents in some phases, the newest first; `before` is the number to go on from. Without `alerts` where said.

    One whose state cannot be read is bare: what is asked of all of them must not fail for it.
    """
    row = tables.incident.c
    query = select(row.state, row.id, row.phase).where(row.phase.in_(phases))
    if before is not None:
        query = query.where(row.number < before)
    found = connection.execute(query.order_by(row.number.desc()).limit(limit)).all()
    firing = _alerts(connection, [r.id for r in found]) if alerts else {}
    return [_readable(r.id, r.phase, r.state).but(alerts=firing.get(r.id, {})) for r in found]


def _readable(id_: str, phase: str, state: str) -> Incident:
    try:
        return read_incident(state)
    except ValueError:
        log.exception("an incident cannot be read", incident=id_)
        return Incident(id_, phase)


def incidents_muted(connection: Connection) -> list[str]:
    """Incidents that are not closed, and of which a source keeps some alerts to itself."""
    row = tables.incident.c
    open_ = row.phase.in_([phase for phase in PHASES if phase != "closed"])  # so that the index by phase is used
    muted = select(row.id).where(open_, row.state.contains('"muted":{"'))
    return list(connection.execute(muted).scalars())


def find_incident(connection: Connection, id_: str) -> Incident | None:
    """One incident, with its firing alerts."""
    state = connection.execute(select(tables.incident.c.state).where(tables.incident.c.id == id_)).scalar()
    return read_incident(state).but(alerts=_alerts(connection, [id_]).get(id_, {})) if state else None


def _alerts(connection: Connection, ids: list[str]) -> dict[str, dict[AlertKey, Alert]]:
    alerts: dict[str, dict[AlertKey, Alert]] = {}
    query = select(tables.alert).where(tables.alert.c.incident.in_(ids), tables.alert.c.firing)
    for row in connection.execute(query):
        alert = read_alert(row)
        alerts.setdefault(row.incident, {})[alert.key] = alert
    return alerts


def read_alert(row: Row[Any]) -> Alert:
    """The alert of a row."""
    labels, annotations = read_texts(row.labels), read_texts(row.annotations)
    return Alert(row.source, row.fingerprint, labels, annotations, row.starts_at, row.ends_at, row.generator_url)


def read_timeline(connection: Connection, id_: str) -> list[Entry]:
    """What happened to an incident, in the order in which it was recorded."""
    row = tables.timeline.c
    rows = connection.execute(select(tables.timeline).where(row.incident == id_).order_by(row.seq))
    return [_entry(r) for r in rows]


def _entry(row: Row[Any]) -> Entry:
    event = read_event(row.kind, row.body) if row.body else None
    return Entry(row.seq, row.occurred_at, row.recorded_at, row.kind, row.actor, event)


def verify_timeline(connection: Connection, id_: str) -> list[str]:
    """Say what is wrong with the hash chain of an incident's timeline; empty when all is well."""
    row = tables.timeline.c
    rows = connection.execute(select(tables.timeline).where(row.incident == id_).order_by(row.seq)).all()
    links = [
        Link(
            r.incident,
            r.seq,
            r.occurred_at,
            r.recorded_at,
            r.kind,
            r.actor,
            r.body,
            bytes(r.salt) if r.salt is not None else None,
            bytes(r.commitment),
            bytes(r.hash),
        )
        for r in rows
    ]
    end = connection.execute(
        select(tables.incident.c.head, tables.incident.c.entries).where(tables.incident.c.id == id_)
    ).one_or_none()
    return verify(links, bytes(end.head), end.entries) if end else [f"there is no incident {id_}"]


def incident_ids(connection: Connection) -> list[str]:
    """Every incident, the oldest first."""
    row = tables.incident.c
    return list(connection.execute(select(row.id).order_by(row.number)).scalars())


def pages_between(connection: Connection, since: datetime, until: datetime) -> list[tuple[str, Entry]]:
    """Every page of a time, with its incident, in order."""
    row = tables.timeline.c
    of_time = (row.kind == Paged.__name__, row.recorded_at >= since, row.recorded_at < until)
    found = connection.execute(select(tables.timeline).where(*of_time).order_by(row.recorded_at))
    return [(r.incident, _entry(r)) for r in found]


def read_refusals(connection: Connection, limit: int) -> list[tuple[str, Entry]]:
    """What targets have refused for good, with its incident, the newest first."""
    row = tables.timeline.c
    found = connection.execute(
        select(tables.timeline).where(tables.REFUSED).order_by(row.recorded_at.desc()).limit(limit)
    )
    return [(r.incident, _entry(r)) for r in found]


def read_quarantine(connection: Connection, limit: int) -> list[Row[Any]]:
    """What could not be used, the newest first."""
    return list(
        connection.execute(select(tables.quarantine).order_by(tables.quarantine.c.id.desc()).limit(limit)).all()
    )


def firing_of(connection: Connection, source: str) -> dict[str, Firing]:
    """A source's alerts that fire and are of an incident, by fingerprint."""
    row = tables.alert.c
    chosen = select(row.fingerprint, row.incident, row.starts_at, row.told_at)
    found = connection.execute(chosen.where(row.source == source, row.firing, row.incident != ""))
    return {fingerprint: Firing(*known) for fingerprint, *known in found}


def alerts_of(connection: Connection, source: str, told_at: Mapping[str, datetime]) -> list[Alert]:
    """Alerts of a source, by fingerprint, as they were told to be at a time; without those told of again since."""
    found: list[Alert] = []
    fingerprints = list(told_at)
    for start in range(0, len(fingerprints), CHUNK):
        wanted = tables.alert.c.fingerprint.in_(fingerprints[start : start + CHUNK])
        rows = connection.execute(select(tables.alert).where(tables.alert.c.source == source, wanted))
        found += [read_alert(row) for row in rows if row.told_at == told_at[row.fingerprint]]
    return found


def alert_told_at(connection: Connection, key: AlertKey) -> datetime | None:
    """When an alert was last told of."""
    row = tables.alert.c
    told: datetime | None = connection.execute(select(row.told_at).where(row.key == "/".join(key))).scalar()
    return told


def watchdogs_told_at(connection: Connection, source: str) -> set[datetime]:
    """When a source has last told of its watchdogs: alerts that fire, and are of no incident."""
    row = tables.alert.c
    told = select(row.told_at).where(row.source == source, row.firing, row.incident == "")
    return set(connection.execute(told).scalars())


def waiting_pages(connection: Connection, id_: str) -> dict[str, int]:
    """Pages of an incident that no target has accepted yet: how often each was tried in vain, by key."""
    row = tables.outbox.c
    found = connection.execute(select(row.key, row.attempts).where(row.incident == id_, row.kind == Page.__name__))
    return {key: attempts for key, attempts in found}


def read_outbox(connection: Connection, limit: int) -> list[Row[Any]]:
    """What is still to be asked of the world, the most severe first, then the oldest."""
    row = tables.outbox.c
    shown = [column for column in tables.outbox.columns if column.name not in ("id", "ref", "body")]
    return list(connection.execute(select(*shown).order_by(row.severity, row.id).limit(limit)).all())


def read_backlog(connection: Connection) -> Backlog:
    """Count what waits."""
    inbox, outbox, incident = tables.inbox.c, tables.outbox.c, tables.incident.c
    waiting, oldest = connection.execute(select(func.count(), func.min(inbox.received_at)).where(inbox.waiting)).one()
    errands, errand = connection.execute(select(func.count(), func.min(outbox.created_at))).one()
    phases = connection.execute(
        select(incident.phase, func.count()).where(incident.phase != "closed").group_by(incident.phase)
    )
    return Backlog(
        waiting,
        oldest,
        errands,
        errand,
        connection.execute(select(func.min(incident.wake_at))).scalar(),
        {phase: count for phase, count in phases},
    )
