"""The log of changes. Its functions and triggers are attached after each migration (dcmon.db.change_log).

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

FUNCTIONS = ("record_change", "refuse_change_of_log", "record_pruned_log", "prune_audit_log", "mask_logged", "require_room")
LIMITS = {"max_models": 1000, "max_versions_per_model": 1000, "max_monitors": 50000, "max_rules": 100000, "max_receivers": 1000, "max_tokens": 1000, "max_users": 1000}


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("org_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("author", "via")),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("address", "token", "request_id")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("action", "kind")),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("object_id", "name")),
        *(sa.Column(name, sa.JSON(none_as_null=True), nullable=True) for name in ("before", "after")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_at", "audit_log", ["at"])
    op.create_index("ix_audit_log_organization", "audit_log", ["org_id", "at"])
    # An organization that has more of something already keeps it, and creates no more.
    for name, maximum in LIMITS.items():
        op.add_column("organizations", sa.Column(name, sa.Integer(), server_default=str(maximum), nullable=True))


def downgrade() -> None:
    for name in LIMITS:
        op.drop_column("organizations", name)
    op.drop_table("audit_log")
    for function in FUNCTIONS:
        op.execute(f"drop function if exists {function} cascade")
