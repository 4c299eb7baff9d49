"""Bringing tables up to date, with Alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from relay.store import tables


class TooNew(Exception):
    """The database was written by a newer Relay. The message says what to do."""


class Foreign(Exception):
    """The database holds tables of others that are called as Relay's are. The message says which."""


def migrate(connection: Connection) -> None:
    """Upgrade the tables to this Relay's revision, in the connection's transaction. Raises `TooNew` or `Foreign`."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    found = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if found is not None and found not in known:
        raise TooNew(
            f"the database is of a newer Relay (revision {found}; this one knows up to {scripts.get_current_head()}): "
            "start the newer Relay, or restore a backup made before the upgrade"
        )
    if found is None and (taken := {*inspect(connection).get_table_names()} & tables.metadata.tables.keys()):
        raise Foreign(f"the database is not Relay's, and has a table {min(taken)} already: name another")
    if found != scripts.get_current_head():
        command.upgrade(config, "head")
