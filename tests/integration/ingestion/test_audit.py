"""The audit of a real database finds nothing while all is well, and finds each difference."""

import json
import threading
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from dcmon import db, errors
from dcmon.app import App
from dcmon.db import transactions
from dcmon.ingestion import audit_reader, quarantine_corrections, sample_deletion, store
from dcmon.ingestion.audit import Finding
from dcmon.ingestion.quarantine import QuarantineFilter
from dcmon.ingestion.row_batch import RowBatch
from dcmon.ingestion.sample_deletion import SampleRange
from dcmon.monitoring import lifecycle
from dcmon.storage import models, pruning, versions
from dcmon.storage.expiry import Terms
from dcmon.storage.pruning_transactions import Prune
from dcmon.storage.versions import NewVersion
from dcmon.tenancy import provisioning
from tests.helpers.command_line import dcmon
from tests.integration.conftest import Target, labels, rows, single

NOW = datetime(2026, 11, 24, tzinfo=UTC)
START = datetime(2026, 3, 1, tzinfo=UTC)
FOR_EVER = datetime(2030, 1, 1, tzinfo=UTC)


def take(target: Target, first: int, count: int, *more: bytes) -> None:
    with db.org_session(target.engine, target.org) as session:
        batch = RowBatch([*rows(first, count), *more], NOW, f"s{uuid.uuid4()}")
        store.store_samples(session, target.org, target.version_id, [batch])


def ingest_labels(target: Target, first: int, count: int, *more: bytes) -> None:
    with db.org_session(target.engine, target.org) as session:
        batch = RowBatch([*labels(first, count), *more], NOW + timedelta(seconds=first), f"l{uuid.uuid4()}")
        store.store_labels(session, target.model_id, [batch])


def prune(target: Target, **changes: Any) -> None:
    terms = Terms(timedelta(days=30), None, datetime(2026, 5, 15, tzinfo=UTC))
    pruning.run(Prune(target.engine, target.org, terms, "tester", **changes))


def audit_findings(target: Target) -> list[Finding]:
    public, org = audit_reader.run_audit(target.engine, [target.org])
    assert org.left_out is None
    return [*public.findings, *org.findings]


@pytest.fixture
def used(target: Target) -> Target:
    """A version with samples, labels and quarantined rows, corrected in all ways and partly pruned."""
    ingest_labels(target, 50, 100, b"[]")
    take(target, 0, 200, b"null", b"{}", rows(3, 1)[0].replace(b'"age": 3', b'"age": 4'))
    take(target, 150, 100)
    ingest_labels(target, 0, 30)
    hour = SampleRange(target.version_id, START, START + timedelta(minutes=20), FOR_EVER)
    sample_deletion.delete_samples(target.engine, target.org, hour, "tester")
    quarantine_corrections.retry_quarantined(target.engine, target.org, QuarantineFilter(), "tester")
    quarantine_corrections.drop_quarantined(target.engine, target.org, QuarantineFilter(reason="malformed"), "tester")
    take(target, 0, 20)
    take(target, 90_000, 400)  # in April
    prune(target)
    take(target, 60_000, 100)
    take(target, 90_100, 500)
    return target


def test_audit_after_normal_work_finds_nothing(used: Target) -> None:
    assert audit_findings(used) == []
    checked = audit_reader.run_audit(used.engine, [used.org])[1].checked
    assert checked["samples"] == used.samples > 0
    assert checked["lines"] > 10


def test_audit_after_interrupted_prune_finds_nothing(used: Target) -> None:
    late = Terms(timedelta(days=30), None, datetime(2026, 6, 15, tzinfo=UTC))
    for stops_after in range(4):
        calls = iter([False] * stops_after)
        run = Prune(used.engine, used.org, late, "tester", lambda calls=calls: next(calls, True))  # type: ignore[misc]
        pruning.run(run)
        assert audit_findings(used) == []


def test_audit_after_deletions_finds_nothing(used: Target) -> None:
    with db.org_session(used.engine, used.org) as session:
        model, version = versions.get(session, used.version_id)
        columns = NewVersion("v2", {"age": "numeric", "job": "categorical"}, classes=["0", "1"])
        second = versions.create(session, model, columns)
    other = Target(used.engine, used.org, used.model_id, second.id)
    take(other, 0, 50, b"null")
    assert audit_findings(other) == []
    with db.org_session(used.engine, used.org) as session:
        model, version = versions.get(session, used.version_id)
        lifecycle.delete_version(session, model, version)
    assert audit_findings(other) == []
    with db.org_session(used.engine, used.org) as session:
        lifecycle.delete_model(session, models.get(session, used.model_id))
    assert audit_findings(other) == []


TAMPERING = {
    "samples": "delete from samples_{v} where ctid = (select min(ctid) from samples_{v})",
    "ids": "delete from ids_{m} where k = (select k from ids_{m} limit 1)",
    "ids ": "update ids_{m} set k = gen_random_uuid() where k = (select k from ids_{m} limit 1)",
    "quarter hours": "update quarter_hours set n = n + 1 where at = (select max(at) from quarter_hours)",
    "quarter hours ": "update quarter_hours set at = '2030-01-01' where at = (select max(at) from quarter_hours)",
    "labels": "delete from labels_{v} where k = (select k from labels_{v} where label is not null limit 1)",
    "labels ": "update labels_{v} set k = gen_random_uuid() where k = (select k from labels_{v} limit 1)",
    "labels  ": "insert into orphan_labels_{m} select k, '1', now() from ids_{m} limit 1",
    "lines": "update batches set stored = stored + 1 where id = (select max(id) from batches)",
    "samples ": "delete from batches where id = (select id from batches where stored > 0 and kind = 'samples' limit 1)",
    "quarantine": "delete from quarantine where id = (select min(id) from quarantine)",
    "offsets": "insert into ingest_offsets (topic_id, partition, next_offset) values (gen_random_uuid(), 0, 5)",
}


@pytest.mark.parametrize("check", TAMPERING)
def test_foreign_change_in_a_table_is_found(used: Target, check: str) -> None:
    take(used, 90_700, 10, b"null")
    ingest_labels(used, 90_100, 20)
    assert audit_findings(used) == []
    with db.org_session(used.engine, used.org) as session:
        model, version = versions.get(session, used.version_id)
        session.execute(text(TAMPERING[check].format(m=model.relation, v=version.relation)))
    differing = audit_findings(used)
    assert check.strip() in {finding.check for finding in differing}
    assert all(finding.where and finding.message and finding.advice for finding in differing)


def test_committed_offset_without_history_is_found(app: App, used: Target) -> None:
    with app.public() as session:
        session.execute(
            text("insert into committed_offsets (topic_id, partition, next_offset) values (gen_random_uuid(), 3, 9)")
        )
    assert (single(audit_findings(used)).check, "partition 3" in single(audit_findings(used)).where) == (
        "committed offset",
        True,
    )


def test_audit_beside_running_workers_finds_nothing(target: Target) -> None:
    stop, failed = threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            for number in range(1000):
                if stop.is_set():
                    return
                transactions.retry(partial(take, target, number * 40, 60, b"null"), store.RETRY_POLICY)
                ingest_labels(target, number * 20, 60)
                if number % 3 == 2:
                    first = START + timedelta(minutes=20 * number)
                    span = SampleRange(target.version_id, first, first + timedelta(minutes=50), FOR_EVER)
                    sample_deletion.delete_samples(target.engine, target.org, span, "tester")
                    quarantine_corrections.retry_quarantined(target.engine, target.org, QuarantineFilter(), "tester")
                    quarantine_corrections.drop_quarantined(target.engine, target.org, QuarantineFilter(), "tester")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        looks = [audit_findings(target) for _ in range(30)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert [look for look in looks if look] == []
    assert audit_findings(target) == []


def test_organization_with_old_schema_is_left_out_of_audit(used: Target, engine: Engine) -> None:
    other = provisioning.create_organization(engine, "other", "o@other.example").organization
    with engine.begin() as connection:
        connection.execute(text(f"update {other.schema}.alembic_version set version_num = '0000'"))
    public, own, behind = audit_reader.run_audit(engine, [used.org, other])
    assert (public.left_out, own.left_out) == (None, None)
    assert isinstance(behind.left_out, errors.SchemaOutOfDate)


def test_audit_command_with_finding_exits_1(data_dir: Path, database_url: str, used: Target) -> None:
    well = dcmon("audit", "-o", "json", data_dir=data_dir, url=database_url)
    assert (well.returncode, json.loads(well.stdout)["is_well"]) == (0, True), well.stderr
    assert "Everything agrees" in dcmon("audit", data_dir=data_dir, url=database_url).stderr
    used.scalar("delete from quarter_hours returning 1")
    differs = dcmon("audit", "-o", "json", data_dir=data_dir, url=database_url)
    assert differs.returncode == 1
    finding = json.loads(differs.stdout)["findings"][0]
    assert (finding["lineage"], finding["check"], finding["where"]) == ("acme", "quarter hours", "credit/v1")
    assert "quarter hours" in dcmon("audit", data_dir=data_dir, url=database_url).stdout
