"""Samples, labels and references: read as JSON, and stored as if a client had sent them.

So they are checked, and bad rows are quarantined. Samples are read in the order of their ids, so that a second run goes
on after the last stored one; labels and references are stored again, which changes nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import Raw
from sqlalchemy import Engine, text

from dcmon import db
from dcmon.adoption.old_database import OldDatabase, OldOrganization
from dcmon.adoption.summary import Summary
from dcmon.db import Organization, sql
from dcmon.ingestion.intake import Direct
from dcmon.ingestion.reference_loading import LoadOptions, ReferenceTable
from dcmon.monitoring import lifecycle
from dcmon.storage import models, sample_tables, versions
from dcmon.storage.columns import SAMPLE_ID

if TYPE_CHECKING:
    from dcmon.db.tables.org import Model, Version

BINARY_ORDER = 'collate "C"'  # the same in both databases
REFUSED = 'quarantined: "dcmon quarantine list" shows them with the reasons'


@dataclass(frozen=True)
class Rows:
    """Moves the rows of an organization."""

    old: OldDatabase
    source: OldOrganization
    engine: Engine
    org: Organization
    summary: Summary

    def move(self) -> None:
        """Move the rows of all versions and models."""
        intake = Direct(self.engine)
        with db.org_session(self.engine, self.org) as session:
            of_models = [(model, versions.entries(session, model)) for model in models.entries(session)]
        for model, of_model in of_models:
            for version in of_model:
                self._samples(intake, model, version)
                self._reference(model, version)
            self._labels(intake, model)

    def _samples(self, intake: Direct, model: "Model", version: "Version") -> None:
        table = f"model_{model.id}_monitor_data_{version.id}"
        if not self.old.has(self.source.schema, table):
            return
        last = self._last_sample(version)
        names = [SAMPLE_ID, "_dc_time", *self._columns(model, version)]
        where = "" if last is None else f"where {SAMPLE_ID} {BINARY_ORDER} > {_literal(last)}"
        statement = f"{self._select(table, names, model, version)} {where} order by {SAMPLE_ID} {BINARY_ORDER}"
        for rows in self.old.stream(f"select row_to_json(t)::text from ({statement}) t"):
            intake.ingest_samples(self.org, version.id, _raw(rows))
        total = self.old.count(self.source.schema, table)
        stored = self._scalar(f"select count(*) from samples_{version.relation}")
        self.summary.add("samples", adopted=stored, left=total - stored, reason=REFUSED)

    def _last_sample(self, version: "Version") -> str | None:
        with db.org_session(self.engine, self.org) as session:
            statement = f"select max({SAMPLE_ID} {BINARY_ORDER}) from samples_{version.relation}"
            last: str | None = session.scalar(text(statement))
            return last

    def _reference(self, model: "Model", version: "Version") -> None:
        table = f"model_{model.id}_ref_data_{version.id}"
        total = self.old.count(self.source.schema, table)
        if not total:
            return
        names = [*self._columns(model, version), "_dc_label"]
        values = ", ".join(f"to_json({sql.identifier(name)})" for name in names)
        query = f"({self._select(table, names, model, version, '_dc_ref_sample_id')} order by _dc_ref_sample_id) t"
        lines = self.old.stream(f"select json_build_array({values})::text from {query}")
        reference = ReferenceTable((row for rows in lines for row in _raw(rows)), names)
        with db.org_session(self.engine, self.org) as session:
            loaded = lifecycle.load_reference(
                session, models.get(session, model.id), versions.get(session, version.id)[1], reference,
                LoadOptions(replace=True),
            )  # fmt: skip
        self.summary.add("reference rows", adopted=loaded.stored, left=total - loaded.stored, reason="refused")

    def _labels(self, intake: Direct, model: "Model") -> None:
        table = f"model_{model.id}_sample_labels"
        total = self.old.count(self.source.schema, table)
        query = f"select {SAMPLE_ID}, _dc_label from {sql.identifier(self.source.schema)}.{table}"
        if not total:
            return
        before = self._quarantined_labels(model)
        for rows in self.old.stream(f"select row_to_json(t)::text from ({query}) t"):
            intake.ingest_labels(self.org, model.id, _raw(rows))
        refused = self._quarantined_labels(model)
        self.summary.add("labels", adopted=total - refused, left=refused, reason=REFUSED if refused or before else "")

    def _quarantined_labels(self, model: "Model") -> int:
        return self._scalar(f"select count(*) from quarantine where kind = 'labels' and model_id = {model.id:d}")

    def _scalar(self, statement: str) -> int:
        with db.org_session(self.engine, self.org) as session:
            return int(session.execute(text(statement)).scalar_one())

    def _columns(self, model: "Model", version: "Version") -> list[str]:
        columns = sample_tables.columns(model, version)
        return [*columns.model_output, *columns.user_columns]

    def _select(
        self, table: str, names: Sequence[str], model: "Model", version: "Version", key: str | None = None
    ) -> str:
        """Return the statement that reads a table. NaN is null: JSON has no such number."""
        types = {**sample_tables.columns(model, version).user_columns}
        listed = []
        for name in names:
            column = sql.identifier(name)
            listed.append(f"nullif({column}, 'NaN') as {column}" if types.get(name) == "numeric" else column)
        more = [] if key is None else [key]
        return f"select {', '.join([*listed, *more])} from {sql.identifier(self.source.schema)}.{sql.identifier(table)}"


def _raw(rows: Sequence[str]) -> list[Raw]:
    return [Raw(row.encode()) for row in rows]


def _literal(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"E'{escaped}'"


def tables_of(old: OldDatabase, org: OldOrganization) -> Iterator[tuple[str, str]]:
    """Yield the kinds and names of the tables with rows."""
    for row in old.of(org, "models"):
        yield "labels", f"model_{row['id']}_sample_labels"
    for row in old.of(org, "model_versions"):
        yield "samples", f"model_{row['model_id']}_monitor_data_{row['id']}"
        yield "reference rows", f"model_{row['model_id']}_ref_data_{row['id']}"
