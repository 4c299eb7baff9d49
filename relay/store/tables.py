"""The tables. State is JSON text beside the few columns that are searched; times are UTC microseconds since 1970."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Moment(TypeDecorator[datetime]):
    """A UTC instant, kept as whole microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        """To the database."""
        return None if value is None else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        """From the database."""
        return None if value is None else EPOCH + timedelta(microseconds=value)


Number = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up by itself only in a column of the type INTEGER."""

metadata = MetaData()

inbox = Table(
    "inbox",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("source", String, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("waiting", Boolean, nullable=False),
    Index("inbox_waiting", "id", sqlite_where=text("waiting = 1"), postgresql_where=text("waiting")),
    sqlite_autoincrement=True,
)
"""Every webhook as it came, in order: what `relay replay` replays. `waiting` until it is decided."""

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("inbox", Number, nullable=False),
    Column("source", String, nullable=False),
    Column("received_at", Moment, nullable=False),
    Column("position", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("body", Text, nullable=False),
)
"""Alerts (or, at position -1, whole webhooks) that could not be used, and why."""

alert = Table(
    "alert",
    metadata,
    Column("key", String, primary_key=True),
    Column("source", String, nullable=False),
    Column("fingerprint", String, nullable=False),
    Column("incident", String, nullable=False),
    Column("firing", Boolean, nullable=False),
    Column("starts_at", Moment),
    Column("ends_at", Moment),
    Column("told_at", Moment, nullable=False),
    Column("labels", Text, nullable=False),
    Column("annotations", Text, nullable=False),
    Column("generator_url", Text, nullable=False),
    Index("alert_ended", "told_at", sqlite_where=text("firing = 0"), postgresql_where=text("not firing")),
    Index("alert_firing", "incident", sqlite_where=text("firing = 1"), postgresql_where=text("firing")),
)
"""What each alert was last told to be. `key` is source/fingerprint."""

incident = Table(
    "incident",
    metadata,
    Column("id", String, primary_key=True),
    Column("number", Number, nullable=False, unique=True),
    Column("group_key", String, nullable=False),
    Column("phase", String, nullable=False),
    Column("severity", Integer),
    Column("opened_at", Moment, nullable=False),
    Column("wake_at", Moment),
    Column("entries", Integer, nullable=False),
    Column("head", LargeBinary, nullable=False),
    Column("state", Text, nullable=False),
    Index(
        "incident_of_group",
        "group_key",
        unique=True,
        sqlite_where=text("phase <> 'closed'"),
        postgresql_where=text("phase <> 'closed'"),
    ),
    Index(
        "incident_to_wake",
        "wake_at",
        sqlite_where=text("wake_at is not null"),
        postgresql_where=text("wake_at is not null"),
    ),
    Index("incident_by_phase", "phase", "number"),
)
"""An incident as it is now. `wake_at` is its earliest deadline; `entries` and `head` are the end of its timeline."""

NOT_CLOSED = text("incident.phase <> 'closed'")
"""Written out, so that a database sees that it may use the index `incident_of_group`."""

incident_number = Sequence("incident_number", metadata=metadata)
"""Numbers of incidents on PostgreSQL; SQLite has one writer, which counts."""

timeline = Table(
    "timeline",
    metadata,
    Column("incident", String, primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("occurred_at", Moment, nullable=False),
    Column("recorded_at", Moment, nullable=False),
    Column("kind", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("body", Text),
    Column("salt", LargeBinary),
    Column("commitment", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
"""What happened, in order; append-only. `body` and `salt` may be removed by law: the chain still verifies."""

window = Table(
    "window_log",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("name", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("by", String, nullable=False),
    Column("at", Moment, nullable=False),
    Column("body", Text, nullable=False),
    Index(
        "window_announced",
        "name",
        "body",
        unique=True,
        sqlite_where=text("kind = 'announced'"),
        postgresql_where=text("kind = 'announced'"),
    ),
    sqlite_autoincrement=True,
)
"""What was done to maintenance windows, and what was told of them: append-only, so that it is its own audit."""

schedule = Table(
    "schedule_told",
    metadata,
    Column("name", String, primary_key=True),
    Column("told_at", Moment, nullable=False),
    Column("shifts", Text, nullable=False),
)
"""What providers have last told of the schedules that they own."""

outbox = Table(
    "outbox",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("ref", BigInteger, nullable=False),
    Column("incident", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("target", String, nullable=False),
    Column("key", String, nullable=False),
    Column("severity", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("claimed", Boolean, nullable=False),
    Index("outbox_ref", "ref", unique=True),
    Index("outbox_of_page", "key", "id"),
    Index("outbox_of_target", "target", "severity", "id"),
    Index("outbox_due_by_claim", "claimed", "due_at"),
    sqlite_autoincrement=True,
)
"""What is to be asked of the world, in order of `id`; `ref` is chosen by who asks, so that it need not be read back.
Claiming one moves `due_at` to the end of the lease: if its holder dies, it falls due again by itself."""
