"""`relay backup`: a consistent copy of the embedded database, while the service runs."""

import os
import sqlite3
import sys
from pathlib import Path

import click
from sqlalchemy import make_url

from relay.cli.output import as_json, output_option
from relay.config.settings import load_settings

USAGE, SERVER = 2, 3
_BESIDE = ("-wal", "-shm", ".lock")
"""Endings of the files that belong to a database."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--config", type=click.Path(path_type=Path), envvar="RELAY_CONFIG", help="Settings file (relay.yaml).")
@click.option("--data", help="Directory of the embedded database.  [default: data]")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@output_option
def backup(file: Path, config: Path | None, data: str | None, force: bool, output: str) -> None:
    """Copy the embedded SQLite database to FILE, whole and of one moment, while the service runs."""
    url = make_url(load_settings(config, {"data": data}).database_url())
    if url.get_backend_name() != "sqlite" or not url.database:
        raise click.UsageError("this database is PostgreSQL: back it up with pg_dump")
    source = Path(url.database)
    if not source.is_file():
        raise click.UsageError(f"there is no database at {source}: see --data")
    if any(
        file.resolve() == path.resolve() for path in (source, *(source.with_name(source.name + end) for end in _BESIDE))
    ):
        raise click.UsageError(f"{file} is the database itself: name the file that it is to be copied to")
    if file.exists() and not file.is_file():
        raise click.UsageError(f"{file} is no file: name one")
    if file.exists() and not force:
        raise click.UsageError(f"{file} is there already: choose another name, or --force")
    try:
        said = _copy(source, file)
    except (sqlite3.Error, OSError) as error:
        click.echo(f"the backup failed, and nothing was written: {error}", err=True)
        sys.exit(SERVER)
    size = file.stat().st_size
    if output == "json":
        return as_json({"file": str(file), "bytes": size, **said})
    click.echo(f"{file}: {said['incidents']} incidents, {size / 1024 / 1024:.1f} MiB, checked")


def _copy(source: Path, file: Path) -> dict[str, int | str]:
    """Copy, check, and only then give it its name."""
    part = file.with_name(file.name + ".part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)  # what is written into it is for its owner alone from the first byte on
    try:
        connection = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)
        try:
            connection.execute("vacuum into ?", (str(part),))  # one read transaction: writers go on meanwhile
        finally:
            connection.close()
        said = _check(part)
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return said


def _check(part: Path) -> dict[str, int | str]:
    connection = sqlite3.connect(part)
    try:
        [[verdict]] = connection.execute("pragma integrity_check").fetchall()
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"the copy is not sound: {verdict}")
        [[incidents]] = connection.execute("select count(*) from incident").fetchall()
        [[revision]] = connection.execute("select version_num from alembic_version").fetchall()
        return {"incidents": incidents, "revision": revision}
    finally:
        connection.close()
