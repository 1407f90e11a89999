"""An index of the lines of the ledger that stored labels: when labels of a model came.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_batches_labels",
        "batches",
        ["model_id", "created_at"],
        unique=False,
        postgresql_where=sa.text("kind = 'labels' and action = 'ingest' and stored > 0"),
    )


def downgrade() -> None:
    op.drop_index("ix_batches_labels", table_name="batches")
