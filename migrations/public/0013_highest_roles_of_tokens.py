"""The highest role of tokens that another person made for a member, and of invitations.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("tokens", "invitations"):
        op.add_column(table, sa.Column("highest_role", sa.Text(), nullable=True))


def downgrade() -> None:
    for table in ("tokens", "invitations"):
        op.drop_column(table, "highest_role")
