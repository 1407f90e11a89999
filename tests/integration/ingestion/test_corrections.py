"""Wrong rows are deleted, tried again or dropped; tables and ledger agree after each step."""

import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from msgspec import Raw
from sqlalchemy import text

from dcmon import db, errors
from dcmon.db import Organization, transactions
from dcmon.db.tables.org import Quarantined, Version
from dcmon.ingestion import quarantine, quarantine_corrections, sample_deletion, store
from dcmon.ingestion.intake import Direct
from dcmon.ingestion.quarantine import QuarantineFilter
from dcmon.ingestion.quarantine_corrections import RetryResult
from dcmon.ingestion.row_batch import RowBatch
from dcmon.ingestion.sample_deletion import DeletedCounts, SampleRange
from dcmon.monitoring import due_windows
from dcmon.storage import models, sample_lookup, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from tests.integration.conftest import Target, labels, rows, single

NOW = datetime(2026, 11, 24, tzinfo=UTC)
START = datetime(2026, 3, 1, tzinfo=UTC)
ALL = QuarantineFilter()


def take(target: Target, new_rows: Sequence[bytes], source: str = "s", logged_at: datetime = NOW) -> None:
    with db.org_session(target.engine, target.org) as session:
        store.store_samples(session, target.org, target.version_id, [RowBatch(new_rows, logged_at, source)])


def ingest_labels(target: Target, new_rows: Sequence[bytes], source: str = "l", logged_at: datetime = NOW) -> None:
    with db.org_session(target.engine, target.org) as session:
        store.store_labels(session, target.model_id, [RowBatch(new_rows, logged_at, source)])


def delete(target: Target, first: datetime, after: datetime, **options: Any) -> DeletedCounts:
    span = SampleRange(target.version_id, first, after, datetime.now(UTC) + timedelta(days=1))
    with db.org_session(target.engine, target.org) as session:
        counted = sample_deletion.count_samples(session, span)
    deleted = sample_deletion.delete_samples(target.engine, target.org, span, "tester", **options)
    assert deleted == counted
    return deleted


def retry(
    target: Target, row_filter: QuarantineFilter = ALL, org: Organization | None = None, **options: Any
) -> RetryResult:
    return quarantine_corrections.retry_quarantined(target.engine, org or target.org, row_filter, "tester", **options)


def require_agreement(target: Target) -> None:
    """Check that samples, ids, quarter hours, labels, quarantine, time span and ledger agree."""
    with db.org_session(target.engine, target.org, snapshot=True) as session:
        model, version = versions.get(session, target.version_id)
        own, of = {"version": version.id}, f"samples_{version.relation}"
        queries = [
            f"select count(*) from {of}",
            f"select count(*) from ids_{model.relation} where version_id = :version",
            "select coalesce(sum(n), 0) from quarter_hours where version_id = :version",
            "select coalesce(sum(stored), 0) from batches where kind = 'samples' and version_id = :version",
        ]
        assert len({int(session.scalar(text(query), own) or 0) for query in queries}) == 1
        labelled = f"select count(label) from labels_{version.relation}"
        counted = "select coalesce(sum(n_labelled), 0) from quarter_hours where version_id = :version"
        assert session.scalar(text(labelled)) == session.scalar(text(counted), own)
        quarantined = session.scalar(text("select count(*) from quarantine"))
        assert quarantined == session.scalar(text("select coalesce(sum(quarantined), 0) from batches"))
        span = session.execute(text(f"select min(_dc_time), max(_dc_time) from {of}")).one()
        assert (version.earliest, version.watermark) == tuple(span)
        lines = "select count(*) from batches where taken <> stored + duplicates + quarantined + dropped + removed"
        assert session.scalar(text(lines)) == 0


def test_deleted_samples_logged_again_get_their_labels(target: Target) -> None:
    take(target, rows(0, 300))
    ingest_labels(target, labels(0, 300))
    hour = START + timedelta(hours=1)

    assert delete(target, hour, hour + timedelta(minutes=33)) == DeletedCounts(66, 66)

    require_agreement(target)
    assert target.samples == 234
    take(target, rows(0, 300), "again")
    require_agreement(target)
    assert (target.samples, target.labels) == (300, 300)
    line = target.scalar("select row_to_json(b) from batches b where action = 'delete'")
    assert (line["by"], line["stored"], line["removed"]) == ("tester", -66, 66)


def test_deletion_with_labels_forgets_waiting_labels(target: Target) -> None:
    """Labels that waited earlier for the deleted samples do not return with new samples."""
    ingest_labels(target, labels(0, 100))
    take(target, rows(0, 100))
    assert delete(target, START, START + timedelta(days=1), with_labels=True) == DeletedCounts(100, 100)
    take(target, rows(0, 100), "again")
    assert (target.samples, target.labels) == (100, 0)
    require_agreement(target)


def test_deletion_keeps_labels_of_other_versions(target: Target) -> None:
    with db.org_session(target.engine, target.org) as session:
        columns = NewVersion("v2", {"age": "numeric", "job": "categorical"}, classes=["0", "1"])
        second = versions.create(session, models.get(session, target.model_id), columns).id
    other = Target(target.engine, target.org, target.model_id, second)
    for versioned in (target, other):
        take(versioned, rows(0, 10), str(versioned.version_id))
    ingest_labels(target, labels(0, 10))

    delete(target, START, START + timedelta(days=1))

    assert (target.samples, target.labels, other.samples, other.labels) == (0, 0, 10, 10)
    relation = target.scalar("select relation from models")
    assert target.scalar(f"select count(*) from orphan_labels_{relation}") == 0
    take(target, rows(0, 10), "again")
    assert target.labels == 10
    for versioned in (target, other):
        require_agreement(versioned)


def test_deletion_makes_windows_due_with_new_revision(target: Target) -> None:
    take(target, rows(0, 3000))  # a day has 2880
    ingest_labels(target, labels(0, 3000))
    revisions = "select sum(rows_revision), sum(labels_revision) from quarter_hours where at < '2026-03-01 01:00+00'"
    with db.org_session(target.engine, target.org) as session:
        session.execute(text("update quarter_hours set is_touched = false"))
        before = session.execute(text(revisions)).one()
    delete(target, START, START + timedelta(hours=1))
    with db.org_session(target.engine, target.org) as session:
        after = session.execute(text(revisions)).one()
        touched = session.scalars(text("select at from quarter_hours where is_touched order by at")).all()
    assert (after[0] - before[0], after[1] - before[1]) == (120, 120)
    assert list(touched) == [START + timedelta(minutes=15 * number) for number in range(4)]


def test_emptied_window_is_due_at_once(target: Target) -> None:
    take(target, rows(0, 3000))
    with db.org_session(target.engine, target.org) as session:
        due_windows.add(session, [(target.version_id, due_windows.Window(START, START + timedelta(days=1)))])
    delete(target, START, START + timedelta(days=2))
    with db.org_session(target.engine, target.org) as session:
        assert session.get_one(Version, target.version_id).watermark is None
        assert due_windows.next_claimable_at(session) is not None
        assert single(due_windows.claim(session, 8, timedelta(seconds=5))).window.start == START


def test_deletion_in_slices_deletes_the_same_samples(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_deletion, "ROWS_AT_ONCE", 70)
    take(target, rows(0, 2000))
    ingest_labels(target, labels(500, 1000))
    first = START + timedelta(minutes=7)
    assert delete(target, first, first + timedelta(hours=10)).samples == 1200
    assert target.scalar("select count(*) from batches where action = 'delete'") > 10
    require_agreement(target)


def test_rows_logged_during_deletion_stay(target: Target) -> None:
    take(target, rows(0, 10), logged_at=NOW)
    take(target, rows(10, 10), "later", logged_at=NOW + timedelta(minutes=2))
    span = SampleRange(target.version_id, START, START + timedelta(days=1), NOW + timedelta(minutes=1))
    assert sample_deletion.delete_samples(target.engine, target.org, span, "tester").samples == 10
    assert target.samples == 10
    require_agreement(target)


def test_deletion_beside_ingestion_stays_exactly_once(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_deletion, "ROWS_AT_ONCE", 100)
    failed = list[BaseException]()

    def ingest(part: int) -> None:
        try:
            for number in range(part, 30, 2):
                transactions.retry(partial(take, target, rows(number * 50, 60), f"{part}/{number}"), store.RETRY_POLICY)
                ingest_labels(target, labels(number * 50, 60), f"l{part}/{number}", NOW + timedelta(seconds=number))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=ingest, args=(part,)) for part in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        span = SampleRange(
            target.version_id, START, START + timedelta(hours=8), datetime.now(UTC) + timedelta(days=400)
        )
        sample_deletion.delete_samples(target.engine, target.org, span, "tester")
    assert failed == []
    require_agreement(target)
    take(target, rows(0, 1510), "all again")
    assert (target.samples, target.labels) == (1510, 1510)
    require_agreement(target)


def test_invalid_or_unknown_range_is_refused(target: Target) -> None:
    with db.org_session(target.engine, target.org) as session:
        model = models.get(session, target.model_id)
        with pytest.raises(errors.InvalidInput, match="is not after its start"):
            sample_deletion.sample_ranges(session, model, None, START, START)
        with pytest.raises(errors.NotFound):
            sample_deletion.sample_ranges(session, model, "v9", START, NOW)
        assert list(sample_deletion.sample_ranges(session, model, None, START, NOW)) == ["v1"]
    assert delete(target, START, NOW) == DeletedCounts(0, 0)


def wrong(count: int, first: int = 0) -> list[bytes]:
    """Rows with a feature that the version does not have."""
    return [row.replace(b'"age"', b'"years"') for row in rows(first, count)]


def test_retry_stores_valid_rows_and_keeps_bad_ones(target: Target) -> None:
    """Rows that stay in quarantine have their new reason."""
    take(target, rows(0, 2))
    take(target, [rows(0, 1)[0].replace(b'"age": 0', b'"age": 5'), *wrong(3, 10), b"null"], "topic/0/1")
    ingest_labels(target, [b'{"_dc_sample_id": "s1"}', b"[]"], "labels/0/1")
    assert target.scalar("select count(*) from quarantine") == 7
    delete(target, START, START + timedelta(seconds=15))  # s0, which conflicts with the first of them

    trial = retry(target, dry_run=True)
    assert target.scalar("select count(*) from quarantine") == 7
    done = retry(target)

    assert trial == done
    assert (done.tried, done.stored, done.duplicates) == (7, 1, 0)
    assert sum(done.refused_again.values()) == 6
    assert target.samples == 2
    require_agreement(target)
    assert retry(target).stored == 0
    require_agreement(target)


def test_retry_with_refused_row_stores_the_others(target: Target) -> None:
    ddl = "alter table samples_{} add check (age <> 25)"
    with db.org_session(target.engine, target.org) as session:
        relation = versions.get(session, target.version_id)[1].relation
        session.execute(text(ddl.format(relation)))
    Direct(target.engine).ingest_samples(target.org, target.version_id, [Raw(row) for row in rows(20, 10)])
    take(target, [*rows(0, 1), rows(0, 1)[0].replace(b'"age": 0', b'"age": 5')])

    trial, done = retry(target, dry_run=True), retry(target)

    assert trial == done
    assert (done.tried, done.stored, done.refused_again) == (2, 0, {"conflict": 1, "refused": 1})
    require_agreement(target)


def test_retry_that_conflicts_in_all_tries_is_locked(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user is told that the organization is busy, instead of getting the database's own error."""
    take(target, wrong(1))
    with db.org_session(target.engine, target.org) as session:
        session.execute(
            text(
                "create function deadlocks() returns trigger language plpgsql as"
                " 'begin raise exception using errcode = ''40P01''; end'"
            )
        )
        session.execute(
            text("create trigger deadlocks before delete on quarantine for each row execute function deadlocks()")
        )
    monkeypatch.setattr(store, "RETRY_POLICY", replace(store.RETRY_POLICY, max_tries=2))

    with pytest.raises(errors.Locked, match="in 2 tries"):
        retry(target)

    assert target.scalar("select count(*) from quarantine") == 1


def test_retry_uses_time_of_logging_and_current_retention(target: Target) -> None:
    short = Organization(target.org.id, target.org.name, target.org.schema, timedelta(days=30))
    with db.org_session(target.engine, target.org) as session:
        deliveries = [RowBatch(rows(0, 20), NOW, "s")]
        outcome = store.store_samples(session, short, target.version_id, deliveries)
    assert outcome.quarantined == 20
    assert retry(target, org=short).refused_again == {"too_old": 20}
    assert retry(target).stored == 20
    relation = target.scalar("select relation from versions")
    assert target.scalar(f"select array_agg(distinct _dc_logged_at) from samples_{relation}") == [NOW]
    require_agreement(target)


def test_retry_of_row_stored_meanwhile_is_a_duplicate(target: Target) -> None:
    take(target, [*wrong(1), *rows(0, 1)])
    with db.org_session(target.engine, target.org) as session:
        session.execute(text("update quarantine set row = :row"), {"row": rows(0, 1)[0]})
    assert retry(target) == RetryResult(1, 0, 1, {})
    require_agreement(target)


def test_retry_of_label_stores_it(target: Target) -> None:
    take(target, rows(0, 2))
    ingest_labels(target, [b'{"_dc_sample_id": "s1"}', b"[]"])
    with db.org_session(target.engine, target.org) as session:
        session.execute(text("update quarantine set row = :row where position = 1"), {"row": labels(0, 1)[0]})
    assert retry(target, QuarantineFilter(model="credit")) == RetryResult(2, 1, 0, {"missing_feature": 1})
    assert target.labels == 1
    require_agreement(target)


def test_row_read_again_after_retry_is_counted_once(target: Target) -> None:
    """This holds for a row that is still in quarantine, too."""
    take(target, [*rows(0, 3), *wrong(2, 5)], "topic/0/1")
    take(target, [*rows(0, 3), *wrong(2, 5)], "topic/0/1")
    assert target.scalar("select sum(quarantined) from batches") == 2
    require_agreement(target)
    assert quarantine_corrections.drop_quarantined(target.engine, target.org, ALL, "tester") == 2
    take(target, [*rows(0, 3), *wrong(2, 5)], "topic/0/1")
    assert target.scalar("select count(*) from quarantine") == 2
    require_agreement(target)


def test_two_retries_at_once_store_each_row_once(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine_corrections, "RETRIED_AT_ONCE", 7)
    take(target, wrong(100))
    with db.org_session(target.engine, target.org) as session:
        for number, row in enumerate(rows(0, 100)):
            session.execute(
                text("update quarantine set row = :row where position = :position"), {"row": row, "position": number}
            )
    done = list[RetryResult]()
    threads = [threading.Thread(target=lambda: done.append(retry(target))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(result.stored for result in done) == target.samples == 100
    require_agreement(target)


def test_filter_selects_quarantined_rows(target: Target) -> None:
    with db.org_session(target.engine, target.org) as session:
        models.create(session, NewModel("other", "binary"))
    take(target, wrong(2), "topic/0/1")
    take(target, [b"null"], "request/100%_a", NOW + timedelta(hours=1))
    ingest_labels(target, [b"[]"], "topic/1/1")
    counts = {
        QuarantineFilter(): 4,
        QuarantineFilter(model="credit"): 4,
        QuarantineFilter(model="other"): 0,
        QuarantineFilter(version="v1"): 3,
        QuarantineFilter(reason="unknown_field"): 2,
        QuarantineFilter(since=NOW + timedelta(minutes=1)): 1,
        QuarantineFilter(until=NOW + timedelta(minutes=1)): 3,
        QuarantineFilter(source="topic/"): 3,
        QuarantineFilter(source="request/100%_"): 1,
        QuarantineFilter(source="request/100x_"): 0,
        QuarantineFilter(ids=(1, 2, 99)): 2,
    }
    with db.org_session(target.engine, target.org) as session:
        counts_by_value = {
            row_filter: sum(group["rows"] for group in quarantine.summary(session, row_filter)) for row_filter in counts
        }
        groups = quarantine.summary(session, ALL)
        newest = quarantine.newest_rows(session, ALL, 2)
        shown = quarantine.row_details(session, newest[1]["id"])
        with pytest.raises(errors.NotFound):
            quarantine.row_details(session, 99)
    assert counts_by_value == counts
    assert (groups[0]["rows"], groups[0]["reason"], groups[0]["version"]) == (2, "unknown_field", "v1")
    assert shown == newest[1]
    assert (shown["row"], shown["source"], shown["position"]) == ("null", "request/100%_a", 0)


def test_dropped_rows_are_deleted_and_in_the_ledger(target: Target) -> None:
    take(target, [*wrong(5), b"null"])
    unknown = QuarantineFilter(reason="unknown_field")
    assert quarantine_corrections.drop_quarantined(target.engine, target.org, unknown, "tester") == 5
    assert target.scalar("select count(*) from quarantine") == 1
    require_agreement(target)
    with db.org_session(target.engine, target.org) as session:
        assert session.query(Quarantined).one().row == b"null"


def test_sample_lookup_finds_every_place_of_a_sample(target: Target) -> None:
    take(target, [*rows(0, 1), rows(0, 1)[0].replace(b'"age": 0', b'"age": 9')])
    ingest_labels(target, labels(0, 2))

    def states(sample_id: str) -> list[str]:
        with db.org_session(target.engine, target.org) as session:
            locations = sample_lookup.find(session, models.get(session, target.model_id), sample_id)
            json.dumps(locations, default=str)
            return [location["state"] for location in locations]

    unreadable = [
        b'{"_dc_sample_id": "u1", "age": NaN}',
        b'{"_dc_sample_id": "u2", "age": 1e309}',
        b'{"job": "caf\xe9", "_dc_sample_id" : "u\\u0033", "age": ',
        b'{"age": "\\"_dc_sample_id\\": \\"u4\\""}',
    ]
    for row in unreadable:
        take(target, [row], row.hex())
    assert states("s0") == ["stored", "quarantined"]
    assert states("u1") == states("u2") == states("u3") == ["quarantined"]
    with pytest.raises(errors.NotFound):
        states("u4")
    assert states("s1") == ["label waits"]
    with pytest.raises(errors.NotFound, match="s2"):
        states("s2")
