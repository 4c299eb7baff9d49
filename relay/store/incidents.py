"""Incidents, their alerts and their timelines, as one transaction sees and changes them."""

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import BigInteger, Connection, bindparam, func, insert, select, update

from relay.incident.alert import Alert, AlertKey
from relay.incident.decide import Decision
from relay.incident.events import AlertsResolved, Event, for_the_record, is_quiet, occurred_at
from relay.incident.incident import Incident
from relay.incident.triage import Known
from relay.store import tables
from relay.store.chain import FIRST, commit, seal
from relay.store.encoding import read_incident, read_texts, write_event, write_incident, write_texts
from relay.store.prepared import Prepared, at, moment
from relay.store.tables import EPOCH

log = structlog.get_logger()

_LOOKED_AT = ("held", "triggered")
"""Phases in which windows matter."""
CHUNK = 5_000
"""Keys in one statement; SQLite takes 32,766 parameters."""

_INCIDENTS = Prepared(
    select(tables.incident)
    .where(tables.incident.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(tables.incident.c.id)
    .with_for_update()
)
_OF_GROUPS = Prepared(
    select(tables.incident)
    .where(tables.incident.c.group_key.in_(bindparam("groups", expanding=True)), tables.NOT_CLOSED)
    .order_by(tables.incident.c.id)
    .with_for_update()
)
_DUE = Prepared(
    select(tables.incident)
    .where(tables.incident.c.wake_at <= bindparam("now", type_=BigInteger))
    .order_by(tables.incident.c.wake_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_HIGHEST = Prepared(select(func.max(tables.incident.c.number).label("number")))
_NEXT_NUMBER = select(tables.incident_number.next_value())
_ALERTS = Prepared(
    select(tables.alert)
    .where(tables.alert.c.key.in_(bindparam("keys", expanding=True)))
    .order_by(tables.alert.c.key)
    .with_for_update()
)
_FIRING = Prepared(
    select(tables.alert).where(tables.alert.c.incident.in_(bindparam("ids", expanding=True)), tables.alert.c.firing)
)
_STATE = ("phase", "severity", "wake_at", "entries", "head", "state")
_TOLD = ("incident", "firing", "starts_at", "ends_at", "told_at", "labels", "annotations", "generator_url")
_ENTRY = ("incident", "seq", "occurred_at", "recorded_at", "kind", "actor", "body", "salt", "commitment", "hash")
_INSERT_INCIDENT = Prepared(insert(tables.incident), ("id", "number", "group_key", "opened_at", *_STATE))
_UPDATE_INCIDENT = Prepared(
    update(tables.incident).where(tables.incident.c.id == bindparam("id_")).values({c: bindparam(c) for c in _STATE}),
    ("id_", *_STATE),
)
_UPDATE_HEAD = Prepared(
    update(tables.incident)
    .where(tables.incident.c.id == bindparam("id_"))
    .values({c: bindparam(c) for c in ("entries", "head")}),
    ("id_", "entries", "head"),
)
_INSERT_ALERT = Prepared(insert(tables.alert), ("key", "source", "fingerprint", *_TOLD))
_UPDATE_ALERT = Prepared(
    update(tables.alert).where(tables.alert.c.key == bindparam("key_")).values({c: bindparam(c) for c in _TOLD}),
    ("key_", *_TOLD),
)
_END_ALERT = Prepared(
    update(tables.alert)
    .where(tables.alert.c.key == bindparam("key_"))
    .values({c: bindparam(c) for c in ("firing", "ends_at")}),
    ("key_", "firing", "ends_at"),
)
_INSERT_ENTRY = Prepared(insert(tables.timeline), _ENTRY)


class Unreadable(Exception):
    """An incident's state cannot be read. The message says whose."""


@dataclass(slots=True)
class _File:
    """An incident in the hands of a transaction."""

    incident: Incident
    number: int
    group_key: str
    entries: int = 0
    head: bytes = FIRST
    new: bool = False
    changed: bool = False
    """Whether its state changed, and not only its timeline."""
    with_alerts: bool = True
    look_at: int | None = None
    """When it is to be looked at again, where that is before its own deadlines: only a look may forget that."""

    @property
    def wake_at(self) -> int | None:
        """When something is to be done about it."""
        own = moment(self.incident.wake_at)
        if self.look_at is None or self.incident.phase not in _LOOKED_AT:
            return own
        return self.look_at if own is None else min(own, self.look_at)


@dataclass(slots=True)
class Incidents:
    """Loads incidents once, locked; gathers what changes, and writes it in a few statements at the end."""

    connection: Connection
    _highest: int | None = None
    _files: dict[str, _File] = field(default_factory=dict)
    _of_group: dict[str, str] = field(default_factory=dict)
    _unreadable: set[str] = field(default_factory=set)
    _looked_up: set[str] = field(default_factory=set)
    """Groups that were asked for, those without an incident too."""
    _happened: list[tuple[_File, Event, datetime]] = field(default_factory=list)
    """What is to be recorded: all of it together, at the end, which costs less than each on its own."""
    _known: dict[AlertKey, Known] = field(default_factory=dict)
    _asked_after: set[AlertKey] = field(default_factory=set)
    """Alerts that were looked up, unknown ones too."""
    _ended: dict[str, datetime] = field(default_factory=dict)
    """Keys of alerts that ended; those that a source told the end of are written with all it said."""
    _new_alerts: dict[AlertKey, dict[str, Any]] = field(default_factory=dict)
    _told_alerts: dict[AlertKey, dict[str, Any]] = field(default_factory=dict)

    def load(self, ids: Iterable[str], *, alerts: bool = True) -> None:
        """Load incidents, with their firing alerts if those matter, and lock them until the end of the transaction."""
        ids = set(ids)
        if not ids:
            return
        if alerts:
            self._attach_alerts([id_ for id_ in ids if id_ in self._files and not self._files[id_].with_alerts])
        wanted = sorted(ids - self._files.keys() - self._unreadable)
        for start in range(0, len(wanted), CHUNK):
            chunk = wanted[start : start + CHUNK]
            self._take(_INCIDENTS.run(self.connection, ids=chunk), alerts=alerts)

    def load_groups(self, group_keys: Iterable[str]) -> None:
        """Load the incidents of groups that are not closed."""
        group_keys = set(group_keys)
        self.load([self._of_group[group] for group in group_keys & self._of_group.keys()])  # perhaps without alerts
        wanted = sorted(group_keys - self._of_group.keys() - self._looked_up)
        self._looked_up.update(wanted)
        for start in range(0, len(wanted), CHUNK):
            chunk = wanted[start : start + CHUNK]
            if rows := _OF_GROUPS.run(self.connection, groups=chunk):
                self._take([row for row in rows if row.id not in self._files])
                self.load([row.id for row in rows])

    def due(self, now: datetime, limit: int) -> list[str]:
        """Load incidents whose deadline has passed, the longest overdue first, leaving those that others hold.

        One that cannot be read is among them, and `get` does not give it.
        """
        rows = _DUE.run(self.connection, now=moment(now), most=limit)
        self._take([row for row in rows if row.id not in self._files])
        self.load([row.id for row in rows])
        return [row.id for row in rows]

    def due_ids(self, now: datetime, limit: int) -> list[str]:
        """The same, without loading them."""
        return [row.id for row in _DUE.run(self.connection, now=moment(now), most=limit)]

    def waiting(self) -> list[str]:
        """The ids of all incidents that have a deadline."""
        row = tables.incident.c
        return list(self.connection.execute(select(row.id).where(row.wake_at.is_not(None))).scalars())

    def _take(self, rows: Sequence[Any], *, alerts: bool = True) -> None:
        for row in rows:
            if row.phase != "closed":
                self._of_group[row.group_key] = row.id
            try:
                incident = read_incident(row.state)
            except ValueError:
                log.exception("an incident cannot be read", incident=row.id)
                self._unreadable.add(row.id)
                continue
            file = _File(incident, row.number, row.group_key, row.entries, bytes(row.head), with_alerts=alerts)
            if row.wake_at is not None and row.wake_at != file.wake_at:
                file.look_at = row.wake_at
            self._files[row.id] = file
        if alerts:
            self._attach_alerts([row.id for row in rows if row.phase != "closed" and row.id in self._files])

    def _attach_alerts(self, ids: list[str]) -> None:
        alerts: dict[str, dict[AlertKey, Alert]] = {}
        for start in range(0, len(ids), CHUNK):
            for row in _FIRING.run(self.connection, ids=ids[start : start + CHUNK]):
                alert = _alert(row)
                alerts.setdefault(row.incident, {})[alert.key] = alert
        for id_ in ids:
            file = self._files[id_]
            file.incident, file.with_alerts = file.incident.but(alerts=alerts.get(id_, {})), True

    def of_group(self, group_key: str) -> Incident | None:
        """The incident of a group that is not closed, if it was loaded or opened here. Raises `Unreadable`."""
        id_ = self._of_group.get(group_key)
        if id_ in self._unreadable:
            raise Unreadable(f"{id_} cannot be read")
        return self._files[id_].incident if id_ else None

    def get(self, id_: str) -> Incident | None:
        """An incident that was loaded or opened here."""
        file = self._files.get(id_)
        return file.incident if file else None

    def open(self, group_key: str) -> Incident:
        """A new incident with the next number."""
        number = self._next_number()
        incident = Incident(f"INC-{number}")
        self._files[incident.id] = _File(incident, number, group_key, new=True)
        self._of_group[group_key] = incident.id
        return incident

    def discard(self, id_: str) -> None:
        """Forget an incident that was opened here and came to nothing."""
        file = self._files.pop(id_)
        self._of_group.pop(file.group_key, None)

    def _next_number(self) -> int:
        if self.connection.dialect.name == "postgresql":
            number: int = self.connection.execute(_NEXT_NUMBER).scalar_one()
            return number
        if self._highest is None:
            self._highest = _HIGHEST.run(self.connection)[0].number or 0
        self._highest += 1
        return self._highest

    def keep(self, decision: Decision, now: datetime) -> None:
        """Take a decision over: the incident as it now is, and what happened to it."""
        file = self._files[decision.incident.id]
        file.changed = file.changed or decision.incident is not file.incident
        file.incident = decision.incident
        if decision.incident.phase == "closed" and self._of_group.get(file.group_key) == decision.incident.id:
            del self._of_group[file.group_key]
        for event in decision.happened:
            if not is_quiet(event):
                self._happened.append((file, event, now))
            if isinstance(event, AlertsResolved):
                self._ended |= {_text(key): now for key in event.keys}

    def look_again(self, now: datetime, only: Collection[str] | None = None) -> frozenset[str]:
        """Let every incident be woken that is held, or may have to be: the windows may have changed. Or `only` some.

        Gives those that another replica holds just now: nobody waits for it, and they are to be looked at later.
        """
        row = tables.incident.c
        waits = select(row.id).where(row.phase.in_(_LOOKED_AT))
        if only is not None:
            waits = waits.where(row.id.in_(only))
        free = row.id.in_(waits.with_for_update(skip_locked=True))
        self.connection.execute(update(tables.incident).where(free).values(wake_at=now))
        return frozenset(self.connection.execute(waits.where(row.wake_at.is_distinct_from(now))).scalars())

    def looked_at(self, id_: str) -> None:
        """Forget that an incident was to be looked at again."""
        self._files[id_].look_at = None

    def defer(self, id_: str, until: datetime) -> None:
        """Leave an incident alone until a time, whatever its deadlines say."""
        row = tables.incident.c
        self.connection.execute(update(tables.incident).where(row.id == id_).values(wake_at=until))

    def _entry(self, file: _File, event: Event, now: datetime) -> dict[str, Any]:
        body, salt = write_event(for_the_record(event)), os.urandom(16)
        kind, actor, occurred = type(event).__name__, getattr(event, "by", "") or "relay", occurred_at(event, now)
        file.entries += 1
        commitment = commit(salt, body)
        file.head = seal(file.head, file.incident.id, file.entries, occurred, now, kind, actor, commitment)
        return {
            "incident": file.incident.id,
            "seq": file.entries,
            "occurred_at": moment(occurred),
            "recorded_at": moment(now),
            "kind": kind,
            "actor": actor,
            "body": body,
            "salt": salt,
            "commitment": commitment,
            "hash": file.head,
        }

    # ---- alerts ----

    def known(self, keys: Iterable[AlertKey]) -> dict[AlertKey, Known]:
        """What is known of alerts, locked until the end of the transaction."""
        wanted = sorted(set(keys) - self._asked_after)
        self._asked_after.update(wanted)
        for start in range(0, len(wanted), CHUNK):
            chunk = [_text(key) for key in wanted[start : start + CHUNK]]
            for row in _ALERTS.run(self.connection, keys=chunk):
                alert = _alert(row)
                self._known[alert.key] = Known(alert, row.incident, at(row.told_at) or EPOCH)
        return self._known

    def tell(self, alert: Alert, incident: str, now: datetime) -> None:
        """Remember what an alert was told to be."""
        new = alert.key not in self._known or alert.key in self._new_alerts
        self._known[alert.key] = Known(alert, incident, now)
        row = {
            "incident": incident,
            "firing": alert.firing,
            "starts_at": moment(alert.starts_at),
            "ends_at": moment(alert.ends_at),
            "told_at": moment(now),
            "labels": write_texts(alert.labels),
            "annotations": write_texts(alert.annotations),
            "generator_url": alert.generator_url,
        }
        if new:
            self._new_alerts[alert.key] = row | {
                "key": _text(alert.key),
                "source": alert.source,
                "fingerprint": alert.fingerprint,
            }
        else:
            self._told_alerts[alert.key] = row | {"key_": _text(alert.key)}

    @property
    def soonest(self) -> datetime | None:
        """The earliest deadline of the incidents that changed here."""
        wakes = (file.incident.wake_at for file in self._files.values() if file.changed)
        return min((wake for wake in wakes if wake is not None), default=None)

    def write(self) -> None:
        """Send everything that was gathered to the database."""
        entries = [self._entry(*one) for one in self._happened]
        changed = [file for file in self._files.values() if file.changed]
        told = {_text(key) for key in (*self._told_alerts, *self._new_alerts)}
        ended = [
            {"key_": key, "firing": False, "ends_at": moment(end)}
            for key, end in self._ended.items()
            if key not in told
        ]
        _UPDATE_INCIDENT.many(  # before others are inserted: a group has one incident that is not closed
            self.connection, [_row(file) | {"id_": file.incident.id} for file in changed if not file.new]
        )
        _INSERT_INCIDENT.many(self.connection, [_row(file) | {"id": file.incident.id} for file in changed if file.new])
        told_of = {file.incident.id for file, _, _ in self._happened} - {file.incident.id for file in changed}
        heads = [self._files[id_] for id_ in told_of]
        _UPDATE_HEAD.many(
            self.connection, [{"id_": file.incident.id, "entries": file.entries, "head": file.head} for file in heads]
        )
        _INSERT_ALERT.many(self.connection, list(self._new_alerts.values()))
        _UPDATE_ALERT.many(self.connection, list(self._told_alerts.values()))
        _END_ALERT.many(self.connection, ended)
        _INSERT_ENTRY.many(self.connection, entries)


def _row(file: _File) -> dict[str, Any]:
    incident = file.incident
    row = {
        "phase": incident.phase,
        "severity": incident.severity,
        "wake_at": file.wake_at,
        "entries": file.entries,
        "head": file.head,
        "state": write_incident(incident),
    }
    if file.new:
        row |= {"number": file.number, "group_key": file.group_key, "opened_at": moment(incident.opened_at)}
    return row


def _text(key: AlertKey) -> str:
    return f"{key[0]}/{key[1]}"


def _alert(row: Any) -> Alert:
    return Alert(
        row.source,
        row.fingerprint,
        read_texts(row.labels),
        read_texts(row.annotations),
        at(row.starts_at),
        at(row.ends_at),
        row.generator_url,
    )
