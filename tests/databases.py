"""Real databases for tests: SQLite files, and a PostgreSQL server of the tests' own."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from relay.demo.processes import free_port
from relay.demo.programs import need
from relay.store import tables
from relay.store.database import Database, open_database


@contextmanager
def postgresql() -> Iterator[str]:
    """Run PostgreSQL until the context ends; gives a URL. It is a failure, never a skip, when it cannot be had."""
    programs = need(["initdb", "postgres"], print)
    directory = Path(tempfile.mkdtemp(prefix="relay-postgresql-"))
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if as_user:
        shutil.chown(directory, "postgres", "postgres")
    data, port = directory / "data", free_port()
    made = [*as_user, str(programs["initdb"]), "-D", str(data), "-U", "relay", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(made, check=True, capture_output=True, cwd=directory)
    run = [
        *as_user,
        str(programs["postgres"]),
        "-D",
        str(data),
        "-p",
        str(port),
        "-k",
        str(directory),
        "-h",
        "127.0.0.1",
    ]
    log = (directory / "log").open("wb")
    server = subprocess.Popen(run, stdout=log, stderr=log, cwd=directory)
    url = f"postgresql://relay@127.0.0.1:{port}/postgres"
    try:
        _wait(url, server)
        yield url
    finally:
        server.terminate()
        server.wait(20)
        log.close()
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
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def database(request, tmp_path) -> Iterator[Database]:
    """An empty database, of each kind in turn."""
    if request.param == "sqlite":
        opened = open_database(f"sqlite:///{tmp_path / 'relay.db'}")
    else:
        opened = emptied(request.getfixturevalue("postgresql_url"))
    yield opened
    opened.close()
