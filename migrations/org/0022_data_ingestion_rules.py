"""Which rules are data-ingestion rules, descriptions of receivers, and dashboards without a name.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("alert_rules", sa.Column("ingestion_type", sa.Text(), nullable=True))
    op.add_column("webhooks", sa.Column("description", sa.Text(), server_default="", nullable=False))
    op.alter_column("dashboards", "name", nullable=True)
    # Until now nobody could choose the name: the first request that read the dashboard set it.
    op.execute("update dashboards set name = null where name = 'Dashboard'")


def downgrade() -> None:
    op.execute("update dashboards set name = 'Dashboard' where name is null")
    op.alter_column("dashboards", "name", nullable=False)
    op.drop_column("webhooks", "description")
    op.drop_column("alert_rules", "ingestion_type")
