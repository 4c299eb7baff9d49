"""The first tables."""

from alembic import op

from relay.store import tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything. Until the first release this file changes with the tables; after it, only new files do."""
    tables.metadata.create_all(op.get_bind())
