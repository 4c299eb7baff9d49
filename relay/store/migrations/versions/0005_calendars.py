"""Calendars of maintenance windows that others publish."""

from alembic import op

from relay.store import tables

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; it is there already where 0001 has created everything."""
    tables.calendar.create(op.get_bind(), checkfirst=True)
