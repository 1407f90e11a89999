"""Ledger, limits and retention.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ingest_spans",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("action", sa.Text(), server_default="ingest", nullable=False),
        sa.Column("topic_id", sa.Uuid(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("first_offset", sa.BigInteger(), nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False),
        sa.Column("messages", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("dead", sa.Integer(), server_default="0", nullable=False),
        sa.Column("by", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ingest_spans")),
    )
    op.create_index("ix_ingest_spans_partition", "ingest_spans", ["topic_id", "partition", "id"], unique=False)
    op.create_table(
        "ingest_topics",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("topic_id", sa.Uuid(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_ingest_topics")),
    )
    op.add_column("dead_letters", sa.Column("topic", sa.Text(), server_default="", nullable=False))
    op.add_column("dead_letters", sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("organizations", sa.Column("retention", sa.Interval(), nullable=True))
    op.add_column("organizations", sa.Column("results_retention", sa.Interval(), nullable=True))
    op.add_column("organizations", sa.Column("samples_per_minute", sa.BigInteger(), nullable=True))
    op.add_column("organizations", sa.Column("labels_per_minute", sa.BigInteger(), nullable=True))
    op.add_column("organizations", sa.Column("sample_bytes_per_minute", sa.BigInteger(), nullable=True))
    op.add_column("organizations", sa.Column("label_bytes_per_minute", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("organizations", "label_bytes_per_minute")
    op.drop_column("organizations", "sample_bytes_per_minute")
    op.drop_column("organizations", "labels_per_minute")
    op.drop_column("organizations", "samples_per_minute")
    op.drop_column("organizations", "results_retention")
    op.drop_column("organizations", "retention")
    op.drop_column("dead_letters", "sent_at")
    op.drop_column("dead_letters", "topic")
    op.drop_table("ingest_topics")
    op.drop_index("ix_ingest_spans_partition", table_name="ingest_spans")
    op.drop_table("ingest_spans")
