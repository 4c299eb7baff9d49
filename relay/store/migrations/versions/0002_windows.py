"""Maintenance windows that are made over the API."""

from alembic import op

from relay.store import tables

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; it is there already where 0001 has created everything."""
    tables.window.create(op.get_bind(), checkfirst=True)
