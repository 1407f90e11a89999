"""Kinds of receivers, with caps, repeats and pauses; several notifications in one message.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("webhooks", sa.Column("kind", sa.Text(), server_default="webhook", nullable=False))
    op.add_column("webhooks", sa.Column("old_secret", sa.LargeBinary(), nullable=True))
    op.add_column("webhooks", sa.Column("old_secret_until", TIME, nullable=True))
    op.add_column("webhooks", sa.Column("options", sa.JSON(), server_default=sa.text("'{}'"), nullable=False))
    op.add_column("webhooks", sa.Column("credentials", sa.JSON(), server_default=sa.text("'{}'"), nullable=False))
    op.add_column("webhooks", sa.Column("model_ids", sa.JSON(), nullable=True))
    op.add_column("webhooks", sa.Column("cap", sa.Integer(), server_default="20", nullable=True))
    op.add_column(
        "webhooks", sa.Column("repeat_every", sa.Interval(), server_default=sa.text("'24 hours'"), nullable=True)
    )
    op.add_column("webhooks", sa.Column("paused_at", TIME, nullable=True))
    op.add_column("webhooks", sa.Column("paused_until", TIME, nullable=True))
    op.add_column("webhooks", sa.Column("paused_because", sa.Text(), nullable=True))
    op.add_column("webhooks", sa.Column("not_before", TIME, nullable=True))
    op.add_column("notifications", sa.Column("model_id", sa.Integer(), nullable=True))
    op.add_column("notifications", sa.Column("severity", sa.Text(), nullable=True))
    op.add_column("notifications", sa.Column("message_id", sa.Uuid(), nullable=True))
    op.add_column("notifications", sa.Column("is_digest", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("notifications", sa.Column("tried_at", TIME, nullable=True))
    op.add_column(
        "notifications", sa.Column("is_superseded", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("notifications", sa.Column("held_because", sa.Text(), nullable=True))
    op.create_index(op.f("ix_notifications_message_id"), "notifications", ["message_id"], unique=False)
    # In the previous revision each notification is one message, with the same id.
    op.execute("update notifications set message_id = id where attempts > 0")
    op.execute(
        "update notifications set is_superseded = true where dead_at is not null and last_error like 'superseded%'"
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_notifications_message_id"), table_name="notifications")
    for name in ("held_because", "is_superseded", "tried_at", "is_digest", "message_id", "severity", "model_id"):
        op.drop_column("notifications", name)
    for name in (
        "not_before", "paused_because", "paused_until", "paused_at", "repeat_every", "cap", "model_ids", "credentials",
        "options", "old_secret_until", "old_secret", "kind",
    ):  # fmt: skip
        op.drop_column("webhooks", name)
