"""Find the months and rows that are past their retention. dcmon.storage.pruning deletes them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dcmon.db import sql
from dcmon.db.tables.org import Model, Version
from dcmon.states import RowKind
from dcmon.storage import sample_tables
from dcmon.storage.columns import KEY, TIME
from dcmon.storage.sample_tables import Detached, Month
from dcmon.tenancy import retention

SQL = sql.read(__name__)


@dataclass(frozen=True, order=True)
class TableOfVersion:
    """A table with rows to delete. Names that do not apply to it are empty."""

    model: str
    version: str
    table: str


Counts = Counter[TableOfVersion]


@dataclass(frozen=True)
class Terms:
    """How long an organization keeps samples, results and alerts, counted back from `now`.

    None means for ever.
    """

    samples: timedelta | None
    results: timedelta | None
    now: datetime

    def samples_begin(self, model: Model) -> datetime | None:
        """Return the time from which a model's samples are kept. None: all are kept."""
        return retention.cutoff(retention.effective_term(model.retention, self.samples), self.now)

    def results_begin(self, model: Model) -> datetime | None:
        """Return the time from which a model's results are kept. None: all are kept.

        It is never later than the time from which samples are kept.
        """
        term = retention.effective_term(model.retention, self.samples)
        if self.results is None or term is None:
            return None
        return retention.cutoff(max(term, self.results), self.now)

    def organization_rows_begin(self) -> datetime | None:
        """Return the time from which rows that belong to no model are kept. None: all are kept.

        These rows are notifications about dcmon itself, and silences.
        """
        return retention.cutoff(self.results, self.now)


ALERTS = SQL.statement("expired_alerts")
RESULTS = SQL.statement("expired_results")
BASELINES = SQL.statement("expired_baselines")
RECEIPTS = SQL.statement("expired_receipts")
COUNTS_IN_SPAN = {  # the names of the statements that count the rows of a month, by table
    "samples": "samples_in_span",
    "labels": "labels_in_span",
    "ids": "ids_in_span",
    "quarter_hours": "quarter_hours_in_span",
}
OF_NO_MODEL = {
    "notifications": SQL.statement("expired_notifications"),
    "silences": SQL.statement("expired_silences"),
}


def versions_of(session: Session, model: Model) -> Sequence[Version]:
    """Return the versions of a model, by id: the order in which rows are locked."""
    return session.scalars(select(Version).where(Version.model_id == model.id).order_by(Version.id)).all()


def months(session: Session, version: Version, before: datetime) -> list[Month]:
    """Return the months of a version that end before a time, oldest first."""
    existing = {month for kind in RowKind for month in sample_tables.months(session, kind, version.relation)}
    return sorted(month for month in existing if month.span.end <= before)


def count_expired(session: Session, terms: Terms) -> Counts:
    """Count in the tables what a prune would delete."""
    counts, detached = Counts(), sample_tables.detached(session)
    for model in session.scalars(select(Model).order_by(Model.id)).all():
        for version in versions_of(session, model):
            _count_version(session, terms, model, version, detached, counts)
        _count_model(session, terms, model, counts)
    if (before := terms.organization_rows_begin()) is not None:
        for table, expired in OF_NO_MODEL.items():
            count = session.scalar(text(f"select count(*) from ({expired}) t"), {"before": before})
            counts[TableOfVersion("", "", table)] += int(count or 0)
    return +counts


def _count_version(
    session: Session, terms: Terms, model: Model, version: Version, detached: Sequence[Detached], counts: Counts
) -> None:
    before, results_before = terms.samples_begin(model), terms.results_begin(model)
    partitions = [partition for partition in detached if partition.relation == version.relation]
    spans = [month.span for month in months(session, version, before)] if before else []

    def add(table: str, query: str, **values: object) -> None:
        count = session.scalar(text(query), {"version": version.id, **values})
        counts[TableOfVersion(model.name, version.name, table)] += int(count or 0)

    for span in spans:
        for table, name in COUNTS_IN_SPAN.items():
            statement = SQL.statement(name, model=model.relation, version=version.relation, time=TIME)
            add(table, statement, start=span.start, end=span.end)
    for partition in partitions:
        if partition.kind == RowKind.LABELS:
            add("labels", f"select count(*) from {partition.name}")
        elif partition.month.span not in spans:
            add("ids", SQL.statement("detached_ids", model=model.relation, table=partition.name, key=KEY))
    if results_before is not None:
        for table, expired in (("alerts", ALERTS), ("results", RESULTS), ("baselines", BASELINES)):
            add(table, f"select count(*) from ({expired}) t", before=results_before)


def _count_model(session: Session, terms: Terms, model: Model, counts: Counts) -> None:
    if (before := terms.samples_begin(model)) is None:
        return
    receipts = session.scalar(text(f"select count(*) from ({RECEIPTS}) t"), {"model": model.id, "before": before})
    counts[TableOfVersion(model.name, "", "receipts")] += int(receipts or 0)
    waiting = text(f"select count(*) from orphan_labels_{model.relation} where logged_at < :before")
    counts[TableOfVersion(model.name, "", "waiting_labels")] += int(session.scalar(waiting, {"before": before}) or 0)
    quarantined = session.execute(text(SQL.statement("quarantined_rows")), {"model": model.id, "before": before})
    for row in quarantined:
        counts[TableOfVersion(model.name, row.version, "quarantine")] += row.rows
