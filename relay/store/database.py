"""Opening a database, and doing work in it a whole transaction at a time."""

import fcntl
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from relay.config.trouble import Trouble
from relay.store.failures import lost_a_race, unavailable
from relay.store.migration import Foreign, TooNew, migrate
from relay.store.prepared import Prepared

Result = TypeVar("Result")

_BEGIN = Prepared(text("begin immediate"))
LONGEST_LOG = 10_000
"""Pages of SQLite's log (40 MiB) at which a commit copies them into the file itself, as far as `checkpoint` has not."""
TRIES = 5
"""How often a transaction is tried that lost a race against another process."""


class StoreUnusable(Trouble):
    """The database cannot be used until somebody changes something. The message says what."""


class Database:
    """A database. One writing connection at a time for SQLite; PostgreSQL takes several."""

    def __init__(
        self, url: URL, writing: Engine, reading: Engine, copying: Engine | None = None, lock: IO[str] | None = None
    ) -> None:
        self.url = url
        self._writing = writing
        self._reading = reading
        self._copying = copying
        self._lock = lock
        self.writers = 1 if url.get_backend_name() == "sqlite" else 4
        """How many transactions may run at the same time."""
        self._kept: Connection | None = None
        """SQLite's one writing connection: to take it from a pool and give it back would cost a twentieth of a turn."""

    def transact(self, work: Callable[[Connection], Result]) -> Result:
        """Do work in a transaction: all of it is kept, or none. Tried again when it loses a race.

        Several threads may do so for PostgreSQL, one at a time for SQLite: see `writers`.
        Raises `StoreUnavailable` when the database cannot be used now, and whatever `work` raises.
        """
        for tries_left in reversed(range(TRIES)):
            try:
                return self._once(work)
            except SQLAlchemyError as error:
                if not (tries_left and lost_a_race(error)):
                    raise unavailable(error) from error
        raise AssertionError("the last try returns or raises")

    def _once(self, work: Callable[[Connection], Result]) -> Result:
        if self.writers > 1:
            with self._writing.begin() as connection:
                return work(connection)
        connection, self._kept = self._kept or self._writing.connect(), None
        try:
            with connection.begin():
                _BEGIN.run(connection)
                result = work(connection)
        except BaseException:
            connection.close()
            raise
        self._kept = connection
        return result

    def read(self, work: Callable[[Connection], Result]) -> Result:
        """Look things up in one snapshot, without waiting for those who write. Raises `StoreUnavailable`."""
        try:
            with self._reading.connect() as connection:
                return work(connection)
        except SQLAlchemyError as error:
            raise unavailable(error) from error

    def checkpoint(self) -> None:
        """Copy what SQLite's log holds into its file, beside those who write, whose commits would have to do it.

        What cannot be copied now stays in the log. Nothing is to be done for PostgreSQL, which does it by itself.
        Raises `StoreUnavailable`.
        """
        if self._copying is None:
            return
        try:
            with self._copying.connect() as connection:
                connection.exec_driver_sql("pragma wal_checkpoint(passive)")
        except SQLAlchemyError as error:
            raise unavailable(error) from error

    def close(self) -> None:
        """Let go of the database."""
        if self._copying is not None:
            self._copying.dispose()
        if self._kept is not None:
            self._kept.close()
            self._kept = None
        self._writing.dispose()
        self._reading.dispose()
        if self._lock:
            self._lock.close()


def read_url(url: str) -> URL:
    """Read the address of a database. Raises `StoreUnusable` for one that Relay does not know."""
    try:
        parsed = make_url(url)
    except SQLAlchemyError:
        raise StoreUnusable(
            "the database URL cannot be read: write sqlite:///path/relay.db or postgresql://…"
        ) from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise StoreUnusable(f'"{parsed.get_backend_name()}" is not a database Relay knows: take sqlite or postgresql')
    return parsed


def open_database(url: str) -> Database:
    """Open a database and bring its tables up to date.

    `url` is `sqlite:///path/relay.db` or `postgresql://user@host/name`. Raises `StoreUnusable`.
    """
    parsed = read_url(url)
    database = _open_sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _open_postgresql(parsed)
    try:
        database._once(_migrate_at_leisure)
    except SQLAlchemyError as error:
        database.close()
        raise StoreUnusable(str(unavailable(error))) from error
    except (TooNew, Foreign) as error:
        database.close()
        raise StoreUnusable(str(error)) from error
    return database


def _migrate_at_leisure(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # others may be migrating, and a large table takes its time
        connection.exec_driver_sql("set local lock_timeout = 0")
        connection.exec_driver_sql("set local statement_timeout = 0")
    migrate(connection)


def _open_sqlite(url: URL) -> Database:
    if not url.database or url.database == ":memory:":
        raise StoreUnusable("name a file for SQLite: sqlite:///path/relay.db")
    path = Path(url.database)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)  # for its owner alone; SQLite makes the files beside it the same
        lock = path.with_name(path.name + ".lock").open("w")
    except OSError as error:
        raise StoreUnusable(f"the data directory {path.parent} cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StoreUnusable(
            f"{path} is in use by another Relay. SQLite takes one: stop the other, choose another --data, or use "
            "PostgreSQL, which takes several"
        ) from None
    writing = create_engine(url, pool_size=1, max_overflow=0)
    event.listen(writing, "connect", _prepare_sqlite)
    reading = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True),
        poolclass=NullPool,
    )
    event.listen(reading, "connect", _leave_transactions_to_us)
    event.listen(reading, "begin", _begin_snapshot)
    copying = create_engine(url, pool_size=1, max_overflow=0)
    event.listen(copying, "connect", _leave_transactions_to_us)
    return Database(url, writing, reading, copying, lock)


def _leave_transactions_to_us(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, and not by the driver's guess


def _prepare_sqlite(connection: Any, _: Any) -> None:
    _leave_transactions_to_us(connection, _)
    cursor = connection.cursor()
    cursor.execute("pragma journal_mode = wal")
    cursor.execute("pragma synchronous = full")
    cursor.execute(f"pragma wal_autocheckpoint = {LONGEST_LOG}")
    cursor.execute("pragma busy_timeout = 1000")
    cursor.execute("pragma cache_size = -16000")
    cursor.close()


def _begin_snapshot(connection: Connection) -> None:
    connection.exec_driver_sql("begin")


_PATIENCE = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "options": "-c lock_timeout=1s -c statement_timeout=60s -c idle_in_transaction_session_timeout=30s",
}
"""How long a server that says nothing is waited for, and how long a replica that says nothing may hold up others.

What the URL says goes before.
"""


def _open_postgresql(url: URL) -> Database:
    url = url.set(drivername="postgresql+psycopg", query={**_PATIENCE, **url.query})
    try:
        writing = create_engine(url, pool_size=4, pool_pre_ping=True, isolation_level="READ COMMITTED")
    except ModuleNotFoundError:
        raise StoreUnusable('PostgreSQL needs its driver: pip install "relay[postgres]"') from None
    return Database(url, writing, writing.execution_options(isolation_level="REPEATABLE READ"))
