"""Run the revisions of a lineage on the connection of dcmon.db.migrations, inside its transaction.

Without a connection, only their SQL is written.
"""

from alembic import context

attributes = context.config.attributes
offline = {} if attributes["connection"] is not None else {"dialect_name": "postgresql", "literal_binds": True}
context.configure(
    **offline,
    connection=attributes["connection"],
    target_metadata=attributes["metadata"],
    include_name=attributes["include_name"],
    compare_server_default=False,
    version_table_schema=attributes["schema"],
)
with context.begin_transaction():
    context.run_migrations()
