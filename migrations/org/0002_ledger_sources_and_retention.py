"""Ledger, sources and retention.

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
        "sources",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=True),
        sa.Column("mapping", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("scanned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_sources_model_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name=op.f("fk_sources_version_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sources")),
        sa.UniqueConstraint("name", name=op.f("uq_sources_name")),
    )
    op.create_index(op.f("ix_sources_model_id"), "sources", ["model_id"], unique=False)
    op.create_index(op.f("ix_sources_version_id"), "sources", ["version_id"], unique=False)
    op.create_table(
        "ingested_files",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source_id", sa.Integer(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=True),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("next_row", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("taken", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("stored", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("duplicates", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("quarantined", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("began_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_ingested_files_model_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["source_id"], ["sources.id"], name=op.f("fk_ingested_files_source_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name=op.f("fk_ingested_files_version_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ingested_files")),
        sa.UniqueConstraint("digest", name=op.f("uq_ingested_files_digest")),
    )
    op.create_index(op.f("ix_ingested_files_model_id"), "ingested_files", ["model_id"], unique=False)
    op.create_index(op.f("ix_ingested_files_source_id"), "ingested_files", ["source_id"], unique=False)
    op.create_index(op.f("ix_ingested_files_version_id"), "ingested_files", ["version_id"], unique=False)
    op.add_column("batches", sa.Column("action", sa.Text(), server_default="ingest", nullable=False))
    op.add_column("batches", sa.Column("topic_id", sa.Uuid(), nullable=True))
    op.add_column("batches", sa.Column("partition", sa.Integer(), nullable=True))
    op.add_column("batches", sa.Column("messages", sa.Integer(), server_default="0", nullable=False))
    op.add_column("batches", sa.Column("dropped", sa.Integer(), server_default="0", nullable=False))
    op.add_column("batches", sa.Column("removed", sa.Integer(), server_default="0", nullable=False))
    op.add_column("batches", sa.Column("conflicts", sa.Integer(), server_default="0", nullable=False))
    op.add_column("batches", sa.Column("by", sa.Text(), nullable=True))
    op.add_column("batches", sa.Column("note", sa.Text(), nullable=True))
    op.alter_column("batches", "model_id", existing_type=sa.INTEGER(), nullable=True)
    op.create_index("ix_batches_partition", "batches", ["topic_id", "partition", "id"], unique=False)
    op.add_column("models", sa.Column("retention", sa.Interval(), nullable=True))


def downgrade() -> None:
    op.drop_column("models", "retention")
    op.drop_index("ix_batches_partition", table_name="batches")
    op.alter_column("batches", "model_id", existing_type=sa.INTEGER(), nullable=False)
    op.drop_column("batches", "note")
    op.drop_column("batches", "by")
    op.drop_column("batches", "conflicts")
    op.drop_column("batches", "removed")
    op.drop_column("batches", "dropped")
    op.drop_column("batches", "messages")
    op.drop_column("batches", "partition")
    op.drop_column("batches", "topic_id")
    op.drop_column("batches", "action")
    op.drop_index(op.f("ix_ingested_files_version_id"), table_name="ingested_files")
    op.drop_index(op.f("ix_ingested_files_source_id"), table_name="ingested_files")
    op.drop_index(op.f("ix_ingested_files_model_id"), table_name="ingested_files")
    op.drop_table("ingested_files")
    op.drop_index(op.f("ix_sources_version_id"), table_name="sources")
    op.drop_index(op.f("ix_sources_model_id"), table_name="sources")
    op.drop_table("sources")
