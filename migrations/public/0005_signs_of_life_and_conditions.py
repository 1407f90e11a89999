"""Process heartbeats, scheduler runs, and problems of dcmon itself.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "workers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("is_leading", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("started_at", time, server_default=sa.text("now()"), nullable=False),
        sa.Column("seen_at", time, server_default=sa.text("now()"), nullable=False),
        sa.Column("turned_at", time, server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", time, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "rounds",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("began_at", time, nullable=False),
        sa.Column("succeeded_at", time, nullable=True),
        sa.Column("failed_at", time, nullable=True),
        sa.Column("said", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_rounds")),
    )
    op.create_table(
        "conditions",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("since", time, nullable=False),
        sa.Column("told_at", time, nullable=True),
        sa.PrimaryKeyConstraint("name", "subject", name=op.f("pk_conditions")),
    )


def downgrade() -> None:
    op.drop_table("conditions")
    op.drop_table("rounds")
    op.drop_table("workers")
