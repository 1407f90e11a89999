"""What became of dead letters that an operator retried or deleted.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dead_letters", sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True))
    for column in ("resolution", "resolved_by"):
        op.add_column("dead_letters", sa.Column(column, sa.Text(), nullable=True))


def downgrade() -> None:
    for column in ("resolved_at", "resolution", "resolved_by"):
        op.drop_column("dead_letters", column)
