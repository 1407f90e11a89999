"""Numbers of seeks of parked messages.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("parked_messages", sa.Column("seek", sa.BigInteger(), server_default="0", nullable=False))
    op.create_index(
        "ix_ingest_spans_seek",
        "ingest_spans",
        ["topic_id", "partition", "id"],
        unique=False,
        postgresql_where=sa.text("action = 'seek'"),
    )


def downgrade() -> None:
    op.drop_index("ix_ingest_spans_seek", table_name="ingest_spans")
    op.drop_column("parked_messages", "seek")
