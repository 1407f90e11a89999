"""Runs both lineages on the connection that dcmon.db.migrations hands over, inside its transaction."""

from alembic import context

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    target_metadata=attributes["metadata"],
    include_name=attributes["include_name"],
    compare_server_default=False,
)
with context.begin_transaction():
    context.run_migrations()
