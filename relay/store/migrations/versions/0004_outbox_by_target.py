"""A look at a long outbox reads only what it can claim."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the indexes; they are there already where 0001 has created everything."""
    op.create_index("outbox_of_target", "outbox", ["target", "severity", "id"], if_not_exists=True)
    op.create_index("outbox_due_by_claim", "outbox", ["claimed", "due_at"], if_not_exists=True)
