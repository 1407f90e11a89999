"""Run the audit: read the schema "public", then each organization in one snapshot. Workers may run meanwhile."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from psycopg.errors import QueryCanceled
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import Organization, sql
from dcmon.db.tables.org import Batch, IngestOffset, Model, Quarantined, Version
from dcmon.db.tables.public import CommittedOffset, DeadLetter, IngestSpan, ParkedMessage
from dcmon.ingestion import audit
from dcmon.ingestion.audit import Finding
from dcmon.ingestion.audit_state import (
    CommitRecord,
    LedgerLine,
    OrganizationOffset,
    OrganizationPartition,
    OrganizationState,
    SharedState,
    VersionState,
)
from dcmon.ingestion.quarantine import QuarantineTarget
from dcmon.states import RowKind
from dcmon.storage import sample_tables
from dcmon.storage.columns import KEY, TIME
from dcmon.storage.ledger import TopicPartition
from dcmon.storage.sample_tables import Detached
from dcmon.windows import Window

SQL = sql.read(__name__)
LINES_AT_ONCE = 5_000


@dataclass(frozen=True)
class AuditResult:
    """The counts and findings of one organization, or of the schema "public" (`org` is None).

    `left_out` is the error if the organization could not be entered. `is_timed_out`: a statement took longer than the
    engine's connections allow.
    """

    org: Organization | None
    checked: dict[str, int] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    left_out: errors.DcmonError | None = None
    is_timed_out: bool = False


def run_audit(engine: Engine, orgs: Sequence[Organization]) -> list[AuditResult]:
    """Audit the schema "public" and organizations.

    An organization that can't be entered is left out, with the error.
    """
    return list(audits(engine, orgs))


def audits(engine: Engine, orgs: Sequence[Organization]) -> Iterator[AuditResult]:
    """Yield the results of run_audit as they come.

    "public" is read first: messages that workers store after that lie beyond the committed offset.
    """
    with db.public_session(engine, snapshot=True) as session:
        shared = _shared_state(session)
    checked = {"read_ranges": len(shared.commits), "partitions": len(shared.committed)}
    yield AuditResult(None, checked, audit.judge_public(shared))
    for org in orgs:
        yield _audit_organization(engine, org, shared)


def _audit_organization(engine: Engine, org: Organization, shared: SharedState) -> AuditResult:
    try:
        with db.org_session(engine, org, snapshot=True) as session:
            summary, state = audit.summarize(_ledger_lines(session), shared), _organization_state(session)
    except errors.DcmonError as error:
        return AuditResult(org, left_out=error)
    except OperationalError as error:
        if not isinstance(error.orig, QueryCanceled):
            raise
        reason = errors.Unavailable(f"Its rows can't be counted in time: {str(error.orig).splitlines()[0]}.")
        return AuditResult(org, left_out=reason, is_timed_out=True)
    checked = {
        "lines": summary.lines,
        "versions": len(state.versions),
        "samples": sum(version.samples for version in state.versions),
        "quarantined": sum(state.quarantined.values()),
        "partitions": len(summary.chains),
    }
    return AuditResult(org, checked, audit.judge_organization(org.id, summary, state))


def _shared_state(session: Session) -> SharedState:
    commits = [
        CommitRecord(
            row.id, row.action, TopicPartition(row.topic_id, row.partition), row.first_offset, row.next_offset,
            {int(org_id): count for org_id, count in row.messages.items()}, row.dead,
        )
        for row in session.scalars(select(IngestSpan).order_by(IngestSpan.id))
    ]  # fmt: skip
    committed = {
        TopicPartition(row.topic_id, row.partition): row.next_offset for row in session.scalars(select(CommittedOffset))
    }
    dead_letters: dict[TopicPartition, list[int]] = {}
    statement = select(DeadLetter.topic_id, DeadLetter.partition, DeadLetter.at_offset)
    for topic_id, partition, offset in session.execute(statement.order_by(DeadLetter.at_offset)):
        dead_letters.setdefault(TopicPartition(topic_id, partition), []).append(offset)
    shared = SharedState(commits, committed, {}, dead_letters)
    return replace(shared, parked=_parked(session, shared))


def _parked(session: Session, shared: SharedState) -> dict[OrganizationPartition, int]:
    """Count the messages that were parked since the last seek. Only messages since then are compared."""
    key = (ParkedMessage.org_id, ParkedMessage.topic_id, ParkedMessage.partition, ParkedMessage.seek)
    parked = {}
    for org_id, topic_id, number, seek, count in session.execute(select(*key, func.count()).group_by(*key)):
        partition = TopicPartition(topic_id, number)
        if seek == shared.last_seek(partition).number:
            parked[OrganizationPartition(org_id, partition)] = count
    return parked


def _ledger_lines(session: Session) -> Iterator[LedgerLine]:
    columns: list[Any] = [
        Batch.id, Batch.action, Batch.kind, Batch.model_id, Batch.version_id, Batch.topic_id, Batch.partition,
        Batch.first_offset, Batch.next_offset, Batch.messages, Batch.taken, Batch.stored, Batch.duplicates,
        Batch.quarantined, Batch.dropped, Batch.removed,
    ]  # fmt: skip
    options = {"yield_per": LINES_AT_ONCE}
    for row in session.execute(select(*columns).order_by(Batch.id), execution_options=options):
        partition = None if row.topic_id is None else TopicPartition(row.topic_id, row.partition)
        values: list[Any] = [*row[:5], partition, *row[7:]]
        yield LedgerLine(*values)


def _organization_state(session: Session) -> OrganizationState:
    models = {model.id: model for model in session.scalars(select(Model).order_by(Model.id))}
    versions = session.scalars(select(Version).order_by(Version.id)).all()
    target = (Quarantined.kind, Quarantined.model_id, Quarantined.version_id)
    quarantined = session.execute(select(*target, func.count()).group_by(*target))
    offsets = session.scalars(select(IngestOffset))
    return OrganizationState(
        [_version_state(session, models[version.model_id], version) for version in versions],
        {model_id: model.name for model_id, model in models.items()},
        {QuarantineTarget(kind, model, version): count for kind, model, version, count in quarantined},
        {TopicPartition(row.topic_id, row.partition): OrganizationOffset(row.next_offset, row.seek) for row in offsets},
    )


def _version_state(session: Session, model: Model, version: Version) -> VersionState:
    tables = {"version": version.relation, "model": model.relation, "key": KEY, "time": TIME}
    detached = [
        table
        for table in sample_tables.detached(session)
        if (table.kind, table.relation) == (RowKind.SAMPLES, version.relation)
    ]
    # While a month is being pruned, labels may still be stored for ids that remain. Labels of that month are skipped.
    outside = "".join(
        f" and not ({{0}} >= '{span.start}' and {{0}} < '{span.end}')" for span in _detached_spans(detached)
    )
    without_leftovers = "".join(
        f" and not ({SQL.statement('is_leftover', detached=table.name, **tables)})" for table in detached
    )

    def fetch_numbers(statement: str) -> tuple[int, ...]:
        return tuple(int(value or 0) for value in session.execute(text(statement), {"version": version.id}).one())

    samples, samples_sum = fetch_numbers(SQL.statement("count_samples", **tables))
    ids, ids_sum = fetch_numbers(SQL.statement("count_ids", **tables) + without_leftovers)
    counted, _ = fetch_numbers(SQL.statement("count_by_quarter"))
    wrong_quarters = _wrong_quarters(f"samples_{version.relation}", TIME, "count(*)", "n")
    wrong_label_quarters = _wrong_quarters(f"labels_{version.relation}", "ts", "count(label)", "n_labelled")
    without_sample = SQL.statement("count_labels_without_sample", **tables) + outside.format("l.ts")
    still_waiting = SQL.statement("count_labels_still_waiting", **tables)
    return VersionState(
        version.id,
        f"{model.name}/{version.name}",
        samples,
        samples_sum,
        ids,
        ids_sum,
        counted,
        quarters_off=fetch_numbers(wrong_quarters)[0],
        label_quarters_off=fetch_numbers(wrong_label_quarters + outside.format("at"))[0],
        labels_without_sample=fetch_numbers(without_sample)[0],
        labels_still_waiting=0 if detached else fetch_numbers(still_waiting)[0],
    )


def _detached_spans(detached: Sequence[Detached]) -> list[Window]:
    return sorted({table.month.span for table in detached})


def _wrong_quarters(table: str, time: str, counted: str, column: str) -> str:
    return SQL.statement("count_wrong_quarters", table=table, time=time, counted=counted, column=column)
