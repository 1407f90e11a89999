"""Which users are members of a model.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_members",
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("notify", sa.Boolean(), server_default="true", nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], "fk_model_members_model_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("model_id", "user_id", name="pk_model_members"),
    )
    op.create_index("ix_model_members_user_id", "model_members", ["user_id"])


def downgrade() -> None:
    op.drop_table("model_members")
