"""Run the revisions of a lineage on the connection of dcmon.db.migrations, inside its transaction."""

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
