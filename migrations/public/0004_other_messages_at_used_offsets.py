"""Several messages at one offset: a truncated log can have new messages at old offsets.

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
    op.drop_constraint(op.f("pk_parked_messages"), "parked_messages", type_="primary")
    op.create_primary_key(
        op.f("pk_parked_messages"), "parked_messages", ["topic_id", "partition", "at_offset", "seek"]
    )
    op.create_index(
        "uq_dead_letters_place",
        "dead_letters",
        ["topic_id", "partition", "at_offset", sa.text("sha256(coalesce(body, '\\x'))")],
        unique=True,
    )
    op.drop_constraint("uq_dead_letters_topic_id_partition_at_offset", "dead_letters", type_="unique")


def downgrade() -> None:
    # The previous revision has one message for each offset: this fails while an offset has two.
    op.create_unique_constraint(
        "uq_dead_letters_topic_id_partition_at_offset", "dead_letters", ["topic_id", "partition", "at_offset"]
    )
    op.drop_index("uq_dead_letters_place", table_name="dead_letters")
    op.drop_constraint(op.f("pk_parked_messages"), "parked_messages", type_="primary")
    op.create_primary_key(op.f("pk_parked_messages"), "parked_messages", ["topic_id", "partition", "at_offset"])
