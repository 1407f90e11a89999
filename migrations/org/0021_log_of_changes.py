"""The log of changes. Its functions and triggers are attached after each migration (dcmon.db.change_log).

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

FUNCTIONS = ("record_change", "refuse_change_of_log", "record_pruned_log", "prune_audit_log", "mask_logged", "require_room")


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("author", "via")),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("address", "token", "request_id")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("action", "kind")),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("object_id", "name")),
        *(sa.Column(name, sa.JSON(none_as_null=True), nullable=True) for name in ("before", "after")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_at", "audit_log", ["at"])
    op.create_index("ix_audit_log_object", "audit_log", ["kind", "object_id"])

def downgrade() -> None:
    op.drop_table("audit_log")
    for function in FUNCTIONS:
        op.execute(f"drop function if exists {function} cascade")
