"""Changes of what a token may do are announced, so that processes that know the token forget it at once.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES = ("tokens", "members", "users", "organizations")


def upgrade() -> None:
    op.execute("""
        create function announce_token_change() returns trigger language plpgsql as
        $$begin perform pg_notify('dcmon_tokens', ''); return null; end$$
    """)
    for table in TABLES:
        # A token's use is recorded each minute and changes nothing that a process knows of it.
        op.execute(f"""
            create trigger announce_change after update on {table} for each row
            when (to_jsonb(old) - 'last_used_at' is distinct from to_jsonb(new) - 'last_used_at')
            execute function announce_token_change()
        """)
        op.execute(f"""
            create trigger announce_deletion after delete on {table} for each row
            execute function announce_token_change()
        """)


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"drop trigger announce_deletion on {table}")
        op.execute(f"drop trigger announce_change on {table}")
    op.execute("drop function announce_token_change()")
