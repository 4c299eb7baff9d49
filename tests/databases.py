"""Real databases for tests: SQLite files, and a PostgreSQL server of the tests' own."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, text

from relay.demo.processes import free_port
from relay.demo.programs import need
from relay.store import tables
from relay.store.database import Database, open_database


class Postgresql:
    """A PostgreSQL server, which can be killed and started again."""

    def __init__(self, directory: Path, *settings: str) -> None:
        programs = need(["initdb", "postgres"], print)
        self._as_user = as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if as_user:
            shutil.chown(directory, "postgres", "postgres")
        self._directory, data, port = directory, directory / "data", free_port()
        made = [str(programs["initdb"]), "-D", str(data), "-U", "relay", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run([*as_user, *made], check=True, capture_output=True, cwd=directory)
        more = [part for setting in settings for part in ("-c", setting)]
        self._where = _where(data, port, directory)
        self._command = [*as_user, str(programs["postgres"]), *more, *self._where]
        self._pid = data / "postmaster.pid"
        self.url = f"postgresql://relay@127.0.0.1:{port}/postgres"
        self.start()

    def start(self) -> None:
        with (self._directory / "log").open("ab") as log:
            self._server = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=self._directory)
        _wait(self.url, self._server)

    def standby(self, directory: Path) -> "Postgresql":
        """Make a standby of this server, which has all that this one has committed."""
        made = object.__new__(Postgresql)
        made._as_user, made._directory, port = self._as_user, directory, free_port()
        if self._as_user:
            shutil.chown(directory, "postgres", "postgres")
        data = directory / "data"
        base = need(["postgres"], print)["postgres"].resolve().parent / "pg_basebackup"
        copy = [str(base), "-D", str(data), "-R", "-d", self.url, "-c", "fast", "-X", "stream"]
        subprocess.run([*self._as_user, *copy], check=True, capture_output=True, cwd=directory)
        made._command = [*self._command[: -len(self._where)], *_where(data, port, directory)]
        made._where, made._pid = _where(data, port, directory), data / "postmaster.pid"
        made.url = f"postgresql://relay@127.0.0.1:{port}/postgres"
        made.start()
        return made

    def ask(self, statement: str) -> object:
        """The one value that a statement gives, if it gives any."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            answer = connection.execute(statement)
            return answer.fetchone()[0] if answer.description else None

    def kill(self) -> None:
        """Break every connection at once, as a failover does."""
        os.kill(int(self._pid.read_text().split()[0]), signal.SIGQUIT)
        self._server.wait(20)

    def stop(self) -> None:
        self._server.terminate()
        self._server.wait(20)


def _where(data: Path, port: int, directory: Path) -> list[str]:
    return ["-D", str(data), "-p", str(port), "-k", str(directory), "-h", "127.0.0.1"]


@contextmanager
def postgresql(*settings: str) -> Iterator[Postgresql]:
    """Run PostgreSQL until the context ends. It is a failure, never a skip, when it cannot be had."""
    directory = Path(tempfile.mkdtemp(prefix="relay-postgresql-"))
    server = Postgresql(directory, *settings)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _wait(url: str, server: subprocess.Popen) -> None:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    for _ in range(300):
        assert server.poll() is None, "PostgreSQL ended"
        try:
            with engine.connect() as connection:
                connection.execute(text("select 1"))
                break
        except Exception:
            time.sleep(0.05)
    engine.dispose()


def emptied(url: str) -> Database:
    """Open a PostgreSQL database with nothing in it."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        tables.metadata.drop_all(connection)
        connection.execute(text("drop table if exists alembic_version"))
    engine.dispose()
    return open_database(url)


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    with postgresql() as server:
        yield server.url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def database(request, tmp_path) -> Iterator[Database]:
    """An empty database, of each kind in turn."""
    if request.param == "sqlite":
        opened = open_database(f"sqlite:///{tmp_path / 'relay.db'}")
    else:
        opened = emptied(request.getfixturevalue("postgresql_url"))
    yield opened
    opened.close()
