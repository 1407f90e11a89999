"""Keys of object stores, and sources that were made for the object store path of their model.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "store_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("access_key_id", sa.Text(), nullable=False),
        sa.Column("secret_access_key", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_store_keys"),
        sa.UniqueConstraint("type", name="uq_store_keys_type"),
    )
    op.add_column("sources", sa.Column("is_of_path", sa.Boolean(), server_default=sa.text("false"), nullable=False))


def downgrade() -> None:
    op.drop_column("sources", "is_of_path")
    op.drop_table("store_keys")
