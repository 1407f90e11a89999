"""Digests of quarantined rows: a row is identified by its bytes, not by its source.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("quarantine", sa.Column("digest", sa.Uuid(), nullable=True))
    # The same digest as dcmon.ingestion.quarantine computes. Of equal rows, only the first gets it.
    op.execute(
        """
        with digested as (
            select id, cast(left(encode(sha256(
                       convert_to(concat(kind, '/', model_id, '/', version_id, '/'), 'UTF8') || row), 'hex'), 32)
                   as uuid) as digest
              from quarantine
        ), first as (select digest, min(id) as id from digested group by digest)
        update quarantine q set digest = first.digest from first where q.id = first.id
        """
    )
    op.create_unique_constraint(op.f("uq_quarantine_digest"), "quarantine", ["digest"])


def downgrade() -> None:
    op.drop_constraint(op.f("uq_quarantine_digest"), "quarantine", type_="unique")
    op.drop_column("quarantine", "digest")
