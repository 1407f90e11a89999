"""Sources without users and passwords in their URLs: no bucket could be read with them, and lists showed them.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "update sources set url = regexp_replace(url, '^([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@', '\\1')"
        " where url ~ '^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*@'"
    )


def downgrade() -> None:
    pass
