"""How sure the values of a result are: confidence intervals, and the drift without drift.

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
    # Null in older results, whose rows may be deleted: their intervals can't be computed any more.
    for name in ("intervals", "noise"):
        op.add_column("results", sa.Column(name, sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    for name in ("noise", "intervals"):
        op.drop_column("results", name)
