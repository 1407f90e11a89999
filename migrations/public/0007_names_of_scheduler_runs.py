"""Standard names for the jobs of the scheduler, in the rows of `scheduler_runs`.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.

A leader of the previous revision may write a row under an old name again, before it stops at the revision check. Such
a row does no harm: the jobs of this revision don't read it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NAMES = {
    "watch": "check health",
    "heartbeat": "ping",
    "fold spans": "compact read ranges",
    "fold lines": "fold ledger",
}


def upgrade() -> None:
    for old, new in NAMES.items():
        _rename(old, new)


def downgrade() -> None:
    for old, new in NAMES.items():
        _rename(new, old)


def _rename(old: str, new: str) -> None:
    """Rename a job. A row that has the new name already is replaced: it is from an earlier upgrade."""
    op.execute(sa.text("delete from scheduler_runs where name = :new").bindparams(new=new))
    op.execute(sa.text("update scheduler_runs set name = :new where name = :old").bindparams(new=new, old=old))
