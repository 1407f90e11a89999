"""The statistics of a version's columns, and which quarter hours they include.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # 0: rows that are stored already are summarized when the statistics are read for the first time.
    op.add_column("quarter_hours", sa.Column("summarized_revision", sa.BigInteger(), server_default="0", nullable=False))
    op.create_table(
        "version_statistics",
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("samples", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("reference", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("reference_revision", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("version_id"),
    )


def downgrade() -> None:
    op.drop_table("version_statistics")
    op.drop_column("quarter_hours", "summarized_revision")
