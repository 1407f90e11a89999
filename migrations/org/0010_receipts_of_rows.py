"""Receipts of rows, due windows of DataFlow monitors, and indexes for both.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "receipts",
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("taken", sa.BigInteger(), nullable=False),
        sa.Column("waited", sa.Interval(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("is_touched", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name=op.f("fk_receipts_version_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("version_id", "at", name=op.f("pk_receipts")),
        postgresql_with={"fillfactor": 70},
    )
    op.create_index(
        "ix_receipts_touched",
        "receipts",
        ["version_id", "at"],
        unique=False,
        postgresql_where=sa.text("is_touched"),
    )
    op.add_column("due_windows", sa.Column("is_flow", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.create_index("ix_quarantine_receipt", "quarantine", ["version_id", "logged_at"], unique=False)
    op.drop_index("ix_quarantine_version_id", table_name="quarantine")
    op.create_index(
        "ix_notifications_dead",
        "notifications",
        ["dead_at"],
        unique=False,
        postgresql_where=sa.text("dead_at is not null"),
    )


def downgrade() -> None:
    op.drop_index("ix_notifications_dead", table_name="notifications")
    op.create_index("ix_quarantine_version_id", "quarantine", ["version_id"], unique=False)
    op.drop_index("ix_quarantine_receipt", table_name="quarantine")
    op.drop_column("due_windows", "is_flow")
    op.drop_table("receipts")
