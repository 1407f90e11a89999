"""Reading for the audit: "public" first, then each organization in one snapshot, so that workers may go on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import Organization
from dcmon.db.tables.org import Batch, IngestOffset, Model, Quarantined, Version
from dcmon.db.tables.public import DeadLetter, IngestFloor, IngestSpan, ParkedMessage
from dcmon.ingestion import audit
from dcmon.ingestion.audit import CommitRecord, Finding, LedgerLine, OrganizationState, SharedState, VersionState
from dcmon.storage import sample_tables
from dcmon.storage.columns import KEY, TIME
from dcmon.storage.ledger import TopicPartition
from dcmon.storage.sample_tables import Detached

AT_ONCE = 5_000
QUARTER = "date_bin('15 minutes', {}, timestamptz '2000-01-01 UTC')"


@dataclass(frozen=True)
class AuditResult:
    """What was looked at in a lineage (None is "public") and does not add up there, or why it could not be entered."""

    org: Organization | None
    checked: dict[str, int] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    left_out: errors.DcmonError | None = None


def run_audit(engine: Engine, orgs: Sequence[Organization]) -> list[AuditResult]:
    """Audit lineage "public" and organizations. One that can't be entered now is left out, with the reason."""
    with db.public_session(engine, snapshot=True) as session:
        floors = _floors(session)
    checked = {"spans": len(floors.spans), "partitions": len(floors.floors)}
    return [AuditResult(None, checked, audit.judge_public(floors)), *(_examine(engine, org, floors) for org in orgs)]


def _examine(engine: Engine, org: Organization, floors: SharedState) -> AuditResult:
    try:
        with db.org_session(engine, org, snapshot=True) as session:
            found, there = audit.summarize(_lines(session), floors), _holdings(session)
    except errors.DcmonError as error:
        return AuditResult(org, left_out=error)
    checked = {
        "lines": found.lines,
        "versions": len(there.versions),
        "samples": sum(each.samples for each in there.versions),
        "quarantined": sum(there.quarantined.values()),
        "partitions": len(found.chains),
    }
    return AuditResult(org, checked, audit.judge_organization(org.id, found, there))


def _floors(session: Session) -> SharedState:
    spans = [
        CommitRecord(
            each.id, each.action, TopicPartition(each.topic_id, each.partition), each.first_offset, each.next_offset,
            {int(org): count for org, count in each.messages.items()}, each.dead,
        )
        for each in session.scalars(select(IngestSpan).order_by(IngestSpan.id))
    ]  # fmt: skip
    floors = {
        TopicPartition(each.topic_id, each.partition): each.next_offset for each in session.scalars(select(IngestFloor))
    }
    place = (ParkedMessage.org_id, ParkedMessage.topic_id, ParkedMessage.partition)
    parked = session.execute(select(*place, ParkedMessage.seek, func.count()).group_by(*place, ParkedMessage.seek))
    dead: dict[TopicPartition, list[int]] = {}
    letters = select(DeadLetter.topic_id, DeadLetter.partition, DeadLetter.at_offset).order_by(DeadLetter.at_offset)
    for topic_id, partition, offset in session.execute(letters):
        dead.setdefault(TopicPartition(topic_id, partition), []).append(offset)
    waiting = [((org, TopicPartition(topic, part)), seek, n) for org, topic, part, seek, n in parked]
    found = SharedState(spans, floors, {}, dead)
    # Messages are counted since the last seek: what waits since before it is not among them.
    since = {place: n for place, seek, n in waiting if seek == found.seeks.get(place[1], (0, 0))[0]}
    return replace(found, parked=since)


def _lines(session: Session) -> Iterator[LedgerLine]:
    columns: list[Any] = [
        Batch.id, Batch.action, Batch.kind, Batch.model_id, Batch.version_id, Batch.topic_id, Batch.partition,
        Batch.first_offset, Batch.next_offset, Batch.messages, Batch.taken, Batch.stored, Batch.duplicates,
        Batch.quarantined, Batch.dropped, Batch.removed,
    ]  # fmt: skip
    options = {"yield_per": AT_ONCE}
    for row in session.execute(select(*columns).order_by(Batch.id), execution_options=options):
        place = None if row.topic_id is None else TopicPartition(row.topic_id, row.partition)
        values: list[Any] = [*row[:5], place, *row[7:]]
        yield LedgerLine(*values)


def _holdings(session: Session) -> OrganizationState:
    models = session.scalars(select(Model).order_by(Model.id)).all()
    versions = session.scalars(select(Version).order_by(Version.id)).all()
    of = {model.id: model for model in models}
    place = (Quarantined.kind, Quarantined.model_id, Quarantined.version_id)
    quarantined = session.execute(select(*place, func.count()).group_by(*place))
    offsets = session.scalars(select(IngestOffset))
    return OrganizationState(
        [_holding(session, of[version.model_id], version) for version in versions],
        {model.id: model.name for model in models},
        {(kind, model, version): count for kind, model, version, count in quarantined},
        {TopicPartition(each.topic_id, each.partition): (each.next_offset, each.seek) for each in offsets},
    )


def _holding(session: Session, model: Model, version: Version) -> VersionState:
    number, ids = version.relation, f"ids_{model.relation}"
    left = [each for each in sample_tables.detached(session) if (each.kind, each.relation) == ("samples", number)]
    labels = f"labels_{number} l left join {ids} i on i.k = l.k and i.version_id = :version and i.ts = l.ts"
    # Of a month that is pruned labels may still come, for ids that are left: they are sorted out when it is done.
    settled = "".join(f" and not ({{0}} >= '{first}' and {{0}} < '{after}')" for first, after in _spans(left))

    def row(query: str) -> tuple[int, ...]:
        return tuple(int(value or 0) for value in session.execute(text(query), {"version": version.id}).one())

    samples = row(f"select count(*), sum(cast(uuid_hash({KEY}) as int8)) from samples_{number}")
    mapped = row(
        f"select count(*), sum(cast(uuid_hash(i.k) as int8)) from {ids} i where i.version_id = :version"
        + "".join(f" and not ({_is_left(each.name, number)})" for each in left)
    )
    counted = row("select sum(n), sum(n_labelled) from quarter_hours where version_id = :version")
    off = row(_off(f"samples_{number}", TIME, "count(*)", "n"))
    labels_off = row(_off(f"labels_{number}", "ts", "count(label)", "n_labelled") + settled.format("at"))
    alone = row(f"select count(*) from {labels} where i.k is null" + settled.format("l.ts"))
    unmet = (0,) if left else row(_unmet(model, version))
    name = f"{model.name}/{version.name}"
    return VersionState(
        version.id, name, samples[0], samples[1], mapped[0], mapped[1], counted[0],
        off=off[0], labels_off=labels_off[0], labels_alone=alone[0], labels_unmet=unmet[0],
    )  # fmt: skip


def _spans(left: Sequence[Detached]) -> list[tuple[datetime, datetime]]:
    return sorted({sample_tables.span(each.month) for each in left})


def _is_left(name: str, number: int) -> str:
    """An id of a month that was pruned while its id was not yet, and not logged again since."""
    return (
        f"i.k in (select {KEY} from {name})"
        f" and not exists (select 1 from samples_{number} s where s.{TIME} = i.ts and s.{KEY} = i.k)"
    )


def _off(table: str, time: str, counted: str, column: str) -> str:
    """How many quarters of an hour count other than what a table has in them."""
    return (
        f"select count(*) from (select {QUARTER.format(time)} as at, {counted} as n from {table} group by 1) t"
        f" full join (select at, {column} as n from quarter_hours where version_id = :version) q using (at)"
        " where coalesce(t.n, 0) <> coalesce(q.n, 0)"
    )


def _unmet(model: Model, version: Version) -> str:
    """How many labels wait that are newer than what the sample of theirs, which is there, has."""
    return (
        f"select count(*) from orphan_labels_{model.relation} o"
        f" join ids_{model.relation} i on i.k = o.k and i.version_id = :version"
        f" left join labels_{version.relation} l on l.k = o.k and l.ts = i.ts"
        " where l.k is null or l.logged_at < o.logged_at"
    )
