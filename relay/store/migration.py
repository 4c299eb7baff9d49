"""Bringing tables up to date, with Alembic."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection


class TooNew(Exception):
    """The database was written by a newer Relay. The message says what to do."""


def migrate(connection: Connection) -> None:
    """Upgrade the tables to this Relay's revision, within the connection's transaction. Raises `TooNew`."""
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
    if found != scripts.get_current_head():
        command.upgrade(config, "head")
