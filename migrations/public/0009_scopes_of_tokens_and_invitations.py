"""What tokens may do, imported tokens, invitations, and whether models are shown to their members only.

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


def upgrade() -> None:
    op.add_column("organizations", sa.Column("model_membership", sa.Boolean(), server_default="false", nullable=False))
    op.add_column("tokens", sa.Column("scope", sa.Text(), server_default="full", nullable=False))
    op.add_column("tokens", sa.Column("bcrypt_hash", sa.Text(), nullable=True))
    op.create_table(
        "invitations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("org_id", sa.Integer(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("invited_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["org_id"], ["organizations.id"], "fk_invitations_org_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_invitations"),
        sa.UniqueConstraint("digest", name="uq_invitations_digest"),
        sa.UniqueConstraint("org_id", "email", name="uq_invitations_org_id_email"),
    )


def downgrade() -> None:
    op.drop_table("invitations")
    op.drop_column("tokens", "bcrypt_hash")
    op.drop_column("tokens", "scope")
    op.drop_column("organizations", "model_membership")
