"""Which default monitors a model has, so that they can be turned off and on again.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Null in models from before: no set was chosen for them, and the previous revision inserts null.
    op.add_column("models", sa.Column("default_monitors", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("models", "default_monitors")
