"""Notification levels that were chosen for receivers that are added later.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "chosen_levels",
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("severities", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("channel", name="pk_chosen_levels"),
    )


def downgrade() -> None:
    op.drop_table("chosen_levels")
