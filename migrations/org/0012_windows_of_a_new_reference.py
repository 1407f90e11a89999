"""Due windows that a new reference makes due: they come after all others, the newest first.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "due_windows", sa.Column("is_reevaluation", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )


def downgrade() -> None:
    op.drop_column("due_windows", "is_reevaluation")
