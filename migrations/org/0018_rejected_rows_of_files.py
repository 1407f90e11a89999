"""How many rows of a file can't be stored, also those that were in quarantine before, and the same of its labels.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

COLUMNS = ("rejected", "labels", "rejected_labels")


def upgrade() -> None:
    # The previous revision does not set them: a file that it is loading now keeps smaller numbers.
    for name in COLUMNS:
        op.add_column("ingested_files", sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    op.execute("update ingested_files set rejected = quarantined where finished_at is null")


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column("ingested_files", name)
