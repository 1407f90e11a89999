"""Standard names for tables and columns that operators read. Renames change the catalogue, not rows.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.

A rename can't expand first. Processes of the previous revision stop at the revision check anyway, except for the hint
that a request writes into `wake` after it stored rows: they log that it failed, and the scheduler finds the work.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = {
    "wake": "work_queue",
    "rounds": "scheduler_runs",
    "conditions": "problems",
    "ingest_floor": "committed_offsets",
}
COLUMNS = [
    ("work_queue", "wake_at", "due_at"),
    ("workers", "turned_at", "polled_at"),
    ("scheduler_runs", "began_at", "started_at"),
    ("scheduler_runs", "said", "message"),
    ("problems", "told_at", "notified_at"),
]


def upgrade() -> None:
    for old, new in TABLES.items():
        op.rename_table(old, new)
        op.execute(f"alter table {new} rename constraint pk_{old} to pk_{new}")
    for table, old, new in COLUMNS:
        op.alter_column(table, old, new_column_name=new)


def downgrade() -> None:
    for table, old, new in COLUMNS:
        op.alter_column(table, new, new_column_name=old)
    for old, new in TABLES.items():
        op.execute(f"alter table {new} rename constraint pk_{new} to pk_{old}")
        op.rename_table(new, old)
