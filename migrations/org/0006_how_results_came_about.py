"""How a result was computed, rows of a monitor, windows of a backfill, stale versions.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("versions", sa.Column("stale_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("monitors", sa.Column("rows", sa.Integer(), nullable=True))
    op.add_column("due_windows", sa.Column("is_first", sa.Boolean(), server_default=sa.text("true"), nullable=False))
    op.add_column("due_windows", sa.Column("is_backfill", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column(
        "due_windows",
        sa.Column("waits_since", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.add_column(
        "results",
        sa.Column("how", sa.JSON(), server_default=sa.text("'{}'"), nullable=False),
    )
    op.create_index("ix_results_version_window", "results", ["version_id", "window_end"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_results_version_window", table_name="results")
    op.drop_column("results", "how")
    for column in ("waits_since", "is_backfill", "is_first"):
        op.drop_column("due_windows", column)
    op.drop_column("monitors", "rows")
    op.drop_column("versions", "stale_at")
