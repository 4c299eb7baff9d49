"""What a database has recorded, read beside the service that owns it: webhooks, and what people did."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from relay.incident.alert import AlertKey, Firing
from relay.incident.events import AlertsFired, Assessed, Event
from relay.store import tables
from relay.store.database import StoreUnusable, read_url
from relay.store.encoding import read_event, read_texts
from relay.store.inbox import Received
from relay.store.retention import unpack

CHUNK = 500
DONE_BY_PEOPLE = ("Acknowledged", "Escalated", "Resolved", "SeveritySet")


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody has done to an incident, and the alerts that the incident was about."""

    at: datetime
    event: Event
    alerts: frozenset[AlertKey]


class Recording:
    """The record of a database. Raises `StoreUnusable` where there is none."""

    def __init__(self, url: str) -> None:
        self._engine = _open(read_url(url))
        try:
            with self._engine.connect() as connection:
                connection.execute(select(tables.inbox.c.id).limit(1)).all()
        except SQLAlchemyError as error:
            original = str(getattr(error, "orig", error)).splitlines()[0]
            raise StoreUnusable(f"the record cannot be read: {original}") from None

    def webhooks(self, since: datetime, until: datetime) -> Iterator[Received]:
        """Every webhook that came between two moments, in order."""
        row, last = tables.inbox.c, 0
        while True:
            chosen = select(tables.inbox).where(row.id > last, row.received_at >= since, row.received_at < until)
            with self._engine.connect() as connection:
                found = connection.execute(chosen.order_by(row.id).limit(CHUNK)).all()
            for one in found:
                yield Received(one.source, one.received_at, unpack(bytes(one.body)), one.id)
            if len(found) < CHUNK:
                return
            last = found[-1].id

    def deeds(self, since: datetime, until: datetime) -> list[Deed]:
        """What people did between two moments, in order."""
        row = tables.timeline.c
        chosen = select(row.incident, row.recorded_at, row.kind, row.body).where(
            row.kind.in_(DONE_BY_PEOPLE), row.actor != "relay", row.recorded_at >= since, row.recorded_at < until
        )
        with self._engine.connect() as connection:
            rows = connection.execute(chosen.order_by(row.recorded_at, row.incident, row.seq)).all()
            alerts = {id_: _alerts(connection, id_) for id_ in {found.incident for found in rows}}
        return [
            Deed(found.recorded_at, read_event(found.kind, found.body), alerts[found.incident])
            for found in rows
            if found.body
        ]

    def severities(self, since: datetime, until: datetime) -> dict[Firing, int]:
        """The worst that the incident of each firing was found, or said, to be between two moments."""
        row = tables.timeline.c
        kinds = (Assessed.__name__, AlertsFired.__name__)
        chosen = select(row.incident, row.kind, row.body).where(
            row.kind.in_(kinds), row.recorded_at >= since, row.recorded_at < until, row.body.is_not(None)
        )
        worst: dict[str, int] = {}
        firings: dict[str, set[Firing]] = {}
        with self._engine.connect() as connection:
            for id_, kind, body in connection.execute(chosen):
                match read_event(kind, body):
                    case Assessed(severity):
                        worst[id_] = min(severity, worst.get(id_, severity))
                    case AlertsFired(alerts):
                        firings.setdefault(id_, set()).update((alert.key, alert.starts_at) for alert in alerts)
        return {firing: worst[id_] for id_, of in firings.items() if id_ in worst for firing in of}

    def labels(self, most: int) -> list[dict[str, str]]:
        """Labels of the alerts that were told of, the latest first, each once."""
        row = tables.alert.c
        with self._engine.connect() as connection:
            found = connection.execute(select(row.labels).order_by(row.told_at.desc()).limit(most)).scalars().all()
        return [read_texts(labels) for labels in dict.fromkeys(found)]

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()


def _alerts(connection: Connection, id_: str) -> frozenset[AlertKey]:
    row = tables.timeline.c
    bodies = connection.execute(select(row.body).where(row.incident == id_, row.kind == "AlertsFired")).scalars()
    events = (read_event("AlertsFired", body) for body in bodies if body)
    return frozenset(alert.key for event in events if isinstance(event, AlertsFired) for alert in event.alerts)


def _open(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url.set(drivername="postgresql+psycopg"), poolclass=NullPool)
    path = Path(url.database or "")
    if not path.is_file():
        raise StoreUnusable(f"there is no database at {path}: see --data and --database")
    return create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True),
        poolclass=NullPool,
    )
