"""Comparison with earlier windows: the choice of a monitor, the compared window of a result.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INPUTS = [
    "monitor_id", "version_id", "window_start", "window_end",
    "rows_revision", "labels_revision", "reference_revision", "monitor_revision",
]  # fmt: skip
COMPARED = ["compared_rows_revision", "compared_labels_revision"]


def upgrade() -> None:
    op.add_column("monitors", sa.Column("compared_with", sa.Text(), server_default="reference", nullable=False))
    op.add_column("results", sa.Column("compared_start", sa.DateTime(timezone=True), nullable=True))
    op.add_column("results", sa.Column("compared_end", sa.DateTime(timezone=True), nullable=True))
    op.add_column("results", sa.Column("compared_n", sa.Integer(), server_default="0", nullable=False))
    for name in COMPARED:
        op.add_column("results", sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    # The previous code names this constraint when it stores a result: keep the name.
    op.drop_constraint("uq_results_inputs", "results", type_="unique")
    op.create_unique_constraint("uq_results_inputs", "results", [*INPUTS, *COMPARED])


def downgrade() -> None:
    op.drop_constraint("uq_results_inputs", "results", type_="unique")
    # Of revisions that differ only in what they were compared with, keep the newest.
    on = " and ".join(f"older.{name} = newer.{name}" for name in INPUTS)
    op.execute(f"delete from results older using results newer where {on} and older.revision < newer.revision")
    op.create_unique_constraint("uq_results_inputs", "results", INPUTS)
    for name in ("compared_start", "compared_end", "compared_n", *COMPARED):
        op.drop_column("results", name)
    op.drop_column("monitors", "compared_with")
