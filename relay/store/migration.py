"""Bringing tables up to date, with Alembic."""

from importlib import import_module
from pathlib import Path

from sqlalchemy import Connection, column, inspect, select, table

from relay.store import tables

_MIGRATIONS = Path(__file__).with_name("migrations")


class TooNew(Exception):
    """The database was written by a newer Relay. The message says what to do."""


class Foreign(Exception):
    """The database holds tables of others that are called as Relay's are. The message says which."""


def migrate(connection: Connection) -> None:
    """Upgrade the tables to this Relay's revision, in the connection's transaction. Raises `TooNew` or `Foreign`."""
    known = sorted(path.stem.partition("_")[0] for path in _MIGRATIONS.glob("versions/[0-9]*.py"))
    there = {*inspect(connection).get_table_names()}
    found = _revision(connection) if "alembic_version" in there else None
    if found is not None and found not in known:
        raise TooNew(
            f"the database is of a newer Relay (revision {found}; this one knows up to {known[-1]}): "
            "start the newer Relay, or restore a backup made before the upgrade"
        )
    if found is None and (taken := there & tables.metadata.tables.keys()):
        raise Foreign(f"the database is not Relay's, and has a table {min(taken)} already: name another")
    if found != known[-1]:
        _upgrade(connection)


def _revision(connection: Connection) -> str | None:
    found: str | None = connection.execute(select(column("version_num")).select_from(table("alembic_version"))).scalar()
    return found


def _upgrade(connection: Connection) -> None:
    """Let Alembic do it, which is loaded for that alone: it takes 8 MiB, and most starts find the tables up to date."""
    config = import_module("alembic.config").Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    import_module("alembic.command").upgrade(config, "head")
