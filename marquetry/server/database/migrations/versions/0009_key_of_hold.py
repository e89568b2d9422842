"""Holds know the API key that they count against."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ledger_holds", sa.Column("key_id", sa.String(64)))


def downgrade() -> None:
    op.drop_column("ledger_holds", "key_id")
