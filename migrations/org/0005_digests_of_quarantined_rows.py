"""Digests of quarantined rows: a row is known by its bytes, no longer by the place it came from.

Policy: expand, then contract. The code of the revision before must go on working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.tables;
never touch run-time tables (samples_N, ids_N, labels_N, …): they carry a layout number of their own.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("quarantine", sa.Column("digest", sa.Uuid(), nullable=True))
    # As dcmon.quarantine computes it. Of rows that are there more than once the first is the one to be recognised.
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
