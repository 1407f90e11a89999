"""Whom a message of several people is to be tried again for.

Policy: expand, then contract. The code of the revision before must go on working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.tables;
never touch run-time tables (samples_N, ids_N, labels_N, …): they carry a layout number of their own.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("notifications", sa.Column("left_to", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("notifications", "left_to")
