"""What the files of a version call its fields, so that no load has to map them again.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Null: files have the names of the fields. The previous revision inserts null.
    op.add_column("versions", sa.Column("file_columns", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("versions", "file_columns")
