"""Stamps of ingested files, by which a changed file is recognized.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ingested_files", sa.Column("stamp", sa.Text(), nullable=True))
    op.create_index("ix_ingested_files_place", "ingested_files", ["source_id", "path"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_ingested_files_place", table_name="ingested_files")
    op.drop_column("ingested_files", "stamp")
