"""Schedules that providers own."""

from alembic import op

from relay.store import tables

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; it is there already where 0001 has created everything."""
    tables.schedule.create(op.get_bind(), checkfirst=True)
