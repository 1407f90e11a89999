"""Run the audit: read "public", then each organization in one snapshot, while workers go on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import Organization, sql
from dcmon.db.tables.org import Batch, IngestOffset, Model, Quarantined, Version
from dcmon.db.tables.public import CommittedOffset, DeadLetter, IngestSpan, ParkedMessage
from dcmon.ingestion import audit
from dcmon.ingestion.audit import CommitRecord, Finding, LedgerLine, OrganizationState, SharedState, VersionState
from dcmon.storage import sample_tables
from dcmon.storage.columns import KEY, TIME
from dcmon.storage.ledger import TopicPartition
from dcmon.storage.sample_tables import Detached

SQL = sql.read(__name__)
LINES_AT_ONCE = 5_000


@dataclass(frozen=True)
class AuditResult:
    """What was checked in an organization (None: "public") and found, or why it could not be entered."""

    org: Organization | None
    checked: dict[str, int] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    left_out: errors.DcmonError | None = None


def run_audit(engine: Engine, orgs: Sequence[Organization]) -> list[AuditResult]:
    """Audit "public" and organizations. One that can't be entered now is left out, with the reason.

    "public" is read first: workers then only add to an organization what lies beyond the committed offset.
    """
    with db.public_session(engine, snapshot=True) as session:
        shared = _shared_state(session)
    checked = {"spans": len(shared.commits), "partitions": len(shared.committed)}
    public = AuditResult(None, checked, audit.judge_public(shared))
    return [public, *(_audit_organization(engine, org, shared) for org in orgs)]


def _audit_organization(engine: Engine, org: Organization, shared: SharedState) -> AuditResult:
    try:
        with db.org_session(engine, org, snapshot=True) as session:
            summary, state = audit.summarize(_ledger_lines(session), shared), _organization_state(session)
    except errors.DcmonError as error:
        return AuditResult(org, left_out=error)
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
    dead: dict[TopicPartition, list[int]] = {}
    dead_letters = select(DeadLetter.topic_id, DeadLetter.partition, DeadLetter.at_offset).order_by(
        DeadLetter.at_offset
    )
    for topic_id, partition, offset in session.execute(dead_letters):
        dead.setdefault(TopicPartition(topic_id, partition), []).append(offset)
    shared = SharedState(commits, committed, {}, dead)
    return replace(shared, parked=_parked(session, shared))


def _parked(session: Session, shared: SharedState) -> dict[tuple[int, TopicPartition], int]:
    """Count parked messages. Those from before the last seek are left out: messages are counted since it."""
    key = (ParkedMessage.org_id, ParkedMessage.topic_id, ParkedMessage.partition, ParkedMessage.seek)
    parked = {}
    for org_id, topic_id, number, seek, count in session.execute(select(*key, func.count()).group_by(*key)):
        partition = TopicPartition(topic_id, number)
        if seek == shared.seeks.get(partition, (0, 0))[0]:
            parked[org_id, partition] = count
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
    key = (Quarantined.kind, Quarantined.model_id, Quarantined.version_id)
    quarantined = session.execute(select(*key, func.count()).group_by(*key))
    offsets = session.scalars(select(IngestOffset))
    return OrganizationState(
        [_version_state(session, models[version.model_id], version) for version in versions],
        {model_id: model.name for model_id, model in models.items()},
        {(kind, model, version): count for kind, model, version, count in quarantined},
        {TopicPartition(row.topic_id, row.partition): (row.next_offset, row.seek) for row in offsets},
    )


def _version_state(session: Session, model: Model, version: Version) -> VersionState:
    tables = {"version": version.relation, "model": model.relation, "key": KEY, "time": TIME}
    detached = [
        table
        for table in sample_tables.detached(session)
        if (table.kind, table.relation) == ("samples", version.relation)
    ]
    # While a month is being pruned, labels may still come for ids that are left. Labels of it are not compared.
    outside = "".join(
        f" and not ({{0}} >= '{first}' and {{0}} < '{after}')" for first, after in _detached_ranges(detached)
    )
    leftovers = "".join(
        f" and not ({SQL.statement('is_leftover', detached=table.name, **tables)})" for table in detached
    )

    def row(statement: str) -> tuple[int, ...]:
        return tuple(int(value or 0) for value in session.execute(text(statement), {"version": version.id}).one())

    samples, samples_sum = row(SQL.statement("count_samples", **tables))
    ids, ids_sum = row(SQL.statement("count_ids", **tables) + leftovers)
    counted, _ = row(SQL.statement("count_by_quarter"))
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
        quarters_off=row(wrong_quarters)[0],
        label_quarters_off=row(wrong_label_quarters + outside.format("at"))[0],
        labels_without_sample=row(without_sample)[0],
        labels_still_waiting=0 if detached else row(still_waiting)[0],
    )


def _detached_ranges(detached: Sequence[Detached]) -> list[tuple[datetime, datetime]]:
    return sorted({sample_tables.span(table.month) for table in detached})


def _wrong_quarters(table: str, time: str, counted: str, column: str) -> str:
    return SQL.statement("count_wrong_quarters", table=table, time=time, counted=counted, column=column)
