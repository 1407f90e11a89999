"""Read the database of the old system: one state of it, in transactions that can't write."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, Connection, ExceptionContext, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from dcmon import errors
from dcmon.db import sql

ROWS_AT_ONCE = 10_000
# The tables that are read, with the columns that must be there. A table that is missing has no rows, but for the first
# four; a column that is missing is an error, because its values would be lost silently.
PUBLIC: Mapping[str, Sequence[str]] = {
    "organizations": ("id", "name", "schema_name"),
    "users": ("id", "email", "full_name", "organization_id", "api_secret_hash"),
    "roles": ("user_id", "role"),
}
OF_ORGANIZATION: Mapping[str, Sequence[str]] = {
    "models": ("id", "name", "task_type", "description", "alerts_delay_labels_ratio", "alerts_delay_seconds",
               "obj_store_path"),
    "model_versions": ("id", "model_id", "name", "features_columns", "additional_data_columns", "feature_importance",
                       "classes", "label_map"),
    "model_notes": ("model_id", "title", "text"),
    "model_members": ("model_id", "user_id", "notify"),
    "checks": ("id", "model_id", "name", "config"),
    "dashboards": ("id", "name"),
    "monitors": ("id", "check_id", "name", "dashboard_id", "lookback", "aggregation_window", "frequency", "description",
                 "data_filters", "additional_kwargs"),
    "alert_rules": ("id", "monitor_id", "condition", "alert_severity", "is_active"),
    "data_ingestion_alert_rules": ("id", "model_id", "name", "condition", "alert_severity", "is_active", "alert_type",
                                   "frequency"),
    "alert_webhooks": ("id", "name", "description", "kind", "http_url", "http_method", "http_headers",
                       "notification_levels", "additional_arguments"),
}  # fmt: skip
NECESSARY = ("organizations", "users", "models", "model_versions")
# What is counted and not moved, with the reason.
LEFT_OUT: Mapping[str, str] = {
    "alerts": "dcmon evaluates the newest windows again, and opens alerts where rules are violated",
    "data_ingestion_alerts": "dcmon judges the newest windows again",
    "ingestion_errors": "rows that the old system refused; dcmon quarantines such rows",
    "data_sources": 'AWS keys are not copied: "dcmon source create" watches a bucket',
    "slack_installations": 'Slack must be connected again: "dcmon receiver create"',
    "invitations": 'their codes are links of the old system: "dcmon member invite" invites again',
}
COLUMNS = text("""
    select table_name, column_name from information_schema.columns where table_schema = :schema
""")


@dataclass(frozen=True)
class OldOrganization:
    """An organization of the old system."""

    id: int
    name: str
    schema: str


class OldDatabase:
    """A state of the old database. Names of columns come from its catalog, values are never SQL."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._columns: dict[str, dict[str, set[str]]] = {}

    def organizations(self) -> list[OldOrganization]:
        """Return all organizations. Raises InvalidInput if the database has another shape."""
        self._require("public", PUBLIC)
        rows = self.rows("public", "organizations", ("id", "name", "schema_name"))
        return [OldOrganization(row["id"], row["name"], row["schema_name"]) for row in rows]

    def require_shape(self, org: OldOrganization) -> None:
        """Check that an organization's tables are as expected. Raises InvalidInput, which names what is missing."""
        self._require(org.schema, OF_ORGANIZATION)

    def rows(self, schema: str, table: str, columns: Sequence[str], where: str = "") -> list[dict[str, Any]]:
        """Return rows of a table by id, or none if the table is missing. For tables of definitions, which are small."""
        if not self.has(schema, table):
            return []
        listed = ", ".join(map(sql.identifier, columns))
        statement = f"select {listed} from {sql.identifier(schema)}.{sql.identifier(table)} {where} order by 1"
        return [dict(row._mapping) for row in self._connection.exec_driver_sql(statement.replace("%", "%%"))]

    def of(self, org: OldOrganization, table: str) -> list[dict[str, Any]]:
        """Return the rows of one of the tables of OF_ORGANIZATION."""
        return self.rows(org.schema, table, OF_ORGANIZATION[table])

    def has(self, schema: str, table: str) -> bool:
        """Return True if a table exists."""
        return table in self._of_schema(schema)

    def count(self, schema: str, table: str) -> int:
        """Count the rows of a table; 0 if it is missing."""
        if not self.has(schema, table):
            return 0
        statement = f"select count(*) from {sql.identifier(schema)}.{sql.identifier(table)}"
        return int(self._connection.exec_driver_sql(statement).scalar_one())

    def scalar(self, statement: str) -> Any:
        """Return the value of a statement."""
        return self._connection.exec_driver_sql(statement.replace("%", "%%")).scalar_one()

    def stream(self, statement: str) -> Iterator[list[str]]:
        """Yield the values of a statement's only column, some thousand at once; the server sends them as needed."""
        streaming = self._connection.execution_options(stream_results=True, max_row_buffer=ROWS_AT_ONCE)
        for rows in streaming.exec_driver_sql(statement.replace("%", "%%")).scalars().partitions(ROWS_AT_ONCE):
            yield list(rows)

    def _of_schema(self, schema: str) -> dict[str, set[str]]:
        if schema not in self._columns:
            by_table: dict[str, set[str]] = {}
            for table, column in self._connection.execute(COLUMNS, {"schema": schema}):
                by_table.setdefault(table, set()).add(column)
            self._columns[schema] = by_table
        return self._columns[schema]

    def _require(self, schema: str, shape: Mapping[str, Sequence[str]]) -> None:
        existing = self._of_schema(schema)
        faults = [f"table {table} is missing" for table in shape if table in NECESSARY and table not in existing]
        for table, columns in shape.items():
            missing = sorted(set(columns) - existing.get(table, set(columns)))
            faults += [f"table {table} has no column {', '.join(missing)}"] if missing else []
        if faults:
            raise errors.InvalidInput(
                f"Schema {schema} is not as the old system's release 0.19 creates it: {'; '.join(faults)}."
            )


@contextmanager
def reading(url: str) -> Iterator[OldDatabase]:
    """Open the old database in one transaction that only reads. Raises InvalidInput or Unreachable."""
    try:
        parsed = make_url(url).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError) as error:
        raise errors.InvalidInput("--from needs a URL: postgresql://user:password@host:5432/database") from error
    engine = create_engine(
        parsed, hide_parameters=True, connect_args={"connect_timeout": 10, "application_name": "dcmon"}
    )
    reading_only: Any = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    # Only errors of this engine: in the block, statements of dcmon's own database can fail, too.
    event.listen(engine, "handle_error", lambda context: _refuse(context, parsed))
    try:
        with engine.connect().execution_options(**reading_only) as connection:
            yield OldDatabase(connection)
    finally:
        engine.dispose()


def _refuse(context: ExceptionContext, url: URL) -> None:
    if not isinstance(context.sqlalchemy_exception, DBAPIError):
        return
    original = context.original_exception
    where = f"{url.host}:{url.port or 5432}/{url.database}"
    reason = (str(original) or type(original).__name__).splitlines()[0]
    if context.is_disconnect or not getattr(original, "sqlstate", None):
        raise errors.Unreachable(what="The old database", where=where, reason=reason) from original
    raise errors.DcmonError(f"The old database at {where} refused: {reason}") from original
