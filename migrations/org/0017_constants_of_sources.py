"""Columns that have the same value in all rows of a source's files.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Null: the operator gave no constant. The previous revision inserts null.
    op.add_column("sources", sa.Column("constants", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("sources", "constants")
