"""Other messages at used offsets: parked messages and dead letters of a log that lost its end are kept beside the old.

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
    # The revision before knows one message for each offset: this fails while there are two of one.
    op.create_unique_constraint(
        "uq_dead_letters_topic_id_partition_at_offset", "dead_letters", ["topic_id", "partition", "at_offset"]
    )
    op.drop_index("uq_dead_letters_place", table_name="dead_letters")
    op.drop_constraint(op.f("pk_parked_messages"), "parked_messages", type_="primary")
    op.create_primary_key(op.f("pk_parked_messages"), "parked_messages", ["topic_id", "partition", "at_offset"])
