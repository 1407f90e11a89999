"""Stamps of files.

Policy: expand, then contract. The code of the revision before must go on working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.tables;
never touch run-time tables (samples_N, ids_N, labels_N, …): they carry a layout number of their own.
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
