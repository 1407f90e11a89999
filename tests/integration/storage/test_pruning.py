"""Rows past their retention are deleted and counted, by one prune at a time, beside other work."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text

from dcmon import db, errors
from dcmon.app import App
from dcmon.checks.dataset_schema import CheckValue
from dcmon.db import locks, migrations
from dcmon.db.locks import LockSpace
from dcmon.db.tables.org import Baseline, Silence, Version, Webhook
from dcmon.embedded.environment import child_environment
from dcmon.ingestion import store
from dcmon.ingestion.row_batch import RowBatch
from dcmon.jobs import prune
from dcmon.monitoring import elapsed_windows, lifecycle, model_checks, monitors, results
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.monitoring.results import CheckRun, ResultInputs, ResultKey
from dcmon.storage import expiry, models, pruning, pruning_months, pruning_transactions, sample_tables, versions
from dcmon.storage.expiry import Terms
from dcmon.storage.pruning_transactions import Prune
from dcmon.storage.sample_ids import key_of
from dcmon.storage.sampling import WindowStatistics
from dcmon.tenancy import organizations, provisioning
from dcmon.windows import Frequency, Window
from tests.integration.conftest import Target, eventually, single

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
TERMS = Terms(timedelta(days=60), timedelta(days=90), NOW)  # kept: from 2026-04-01 on, results from 2026-03-01 on


def row(number: int, time: datetime) -> bytes:
    entry = {"_dc_sample_id": f"s{number}", "_dc_time": time.isoformat(), "_dc_prediction": "1", "age": 1.0, "job": "j"}
    return json.dumps(entry).encode()


def label(number: int) -> bytes:
    return json.dumps({"_dc_sample_id": f"s{number}", "_dc_label": number % 2}).encode()


def spread(count: int, first: datetime = datetime(2026, 1, 10, tzinfo=UTC), last: datetime = NOW) -> list[bytes]:
    return [row(number, first + (last - first) * number / count) for number in range(count)]


def take(target: Target, rows: Sequence[bytes], logged_at: datetime = NOW, source: str = "s") -> None:
    with db.org_session(target.engine, target.org) as session:
        store.store_samples(session, target.org, target.version_id, [RowBatch(rows, logged_at, source)])


def ingest_labels(target: Target, rows: Sequence[bytes], logged_at: datetime = NOW) -> None:
    with db.org_session(target.engine, target.org) as session:
        store.store_labels(session, target.model_id, [RowBatch(rows, logged_at, f"l{logged_at}")])


def pruned(target: Target, terms: Terms = TERMS, *, is_fast: bool = True, **changes: Any) -> dict[str, int]:
    """Prune without pauses, because nothing else uses the database, and return the rows deleted from each table."""
    done = pruning.run(Prune(target.engine, target.org, terms, "tester", is_fast=is_fast, **changes))
    return {place.table: rows for place, rows in done.items()}


def expected(target: Target, terms: Terms = TERMS) -> dict[str, int]:
    with db.org_session(target.engine, target.org, snapshot=True) as session:
        return {place.table: rows for place, rows in expiry.count_expired(session, terms).items()}


def held(target: Target) -> dict[str, object]:
    """Count the rows of the tables in every available way."""
    with db.org_session(target.engine, target.org) as session:
        model, version = versions.get(session, target.version_id)
        counted = {
            "samples": f"select count(*) from samples_{version.relation}",
            "labels": f"select count(*) from labels_{version.relation}",
            "ids": f"select count(*) from ids_{model.relation}",
            "quarters": "select coalesce(sum(n), 0) from quarter_hours",
            "labelled": "select coalesce(sum(n_labelled), 0) from quarter_hours",
            "ledger": "select sum(stored) from batches where kind = 'samples'",
            "oldest": f"select min(_dc_time) from samples_{version.relation}",
            "left": "select count(*) from pg_class where relname like '%pruned%' and relkind = 'r'",
        }
        return {name: session.scalar(text(query)) for name, query in counted.items()}


def require_agreement(target: Target) -> None:
    before = held(target)
    assert before["samples"] == before["ids"] == before["quarters"] == before["ledger"]
    assert before["labels"] == before["labelled"]
    assert before["left"] == 0
    with db.org_session(target.engine, target.org) as session:
        version = session.get_one(Version, target.version_id)
        assert version.earliest == before["oldest"]


def test_prune_removes_whole_months_as_its_dry_run_counted(target: Target) -> None:
    take(target, spread(1000))
    ingest_labels(target, [label(number) for number in range(1000)])
    ingest_labels(target, [label(number) for number in range(2000, 2010)], NOW - timedelta(days=90))
    ingest_labels(target, [label(number) for number in range(3000, 3005)])
    take(target, [b"{}", b"null"], NOW - timedelta(days=90), "bad and old")
    take(target, [b"[]"], NOW, "bad")
    counted = expected(target)
    assert counted["samples"] == counted["ids"] == counted["labels"] > 400
    assert (counted["waiting_labels"], counted["quarantine"]) == (10, 2)

    assert pruned(target) == counted

    require_agreement(target)
    assert held(target)["oldest"] >= datetime(2026, 4, 1, tzinfo=UTC)  # type: ignore[operator]
    assert target.scalar("select count(*) from quarantine") == 1
    assert (expected(target), pruned(target)) == ({}, {})
    lines = "select count(*) from batches where taken <> stored + duplicates + quarantined + dropped + removed"
    assert target.scalar(lines) == 0
    assert target.scalar("select array_agg(distinct by) from batches where action = 'prune'") == ["tester"]


def test_month_is_kept_until_its_last_row_is_too_old(target: Target) -> None:
    take(target, [row(1, datetime(2026, 3, 31, 23, 59, tzinfo=UTC))])
    last_day = Terms(timedelta(days=60), None, datetime(2026, 5, 30, 23, 59, tzinfo=UTC))
    assert pruned(target, last_day) == {}
    next_day = Terms(timedelta(days=60), None, datetime(2026, 5, 31, tzinfo=UTC))
    assert pruned(target, next_day)["samples"] == 1


def test_prune_without_retention_removes_nothing(target: Target) -> None:
    """A model can have its own retention."""
    take(target, spread(100))
    for_ever = Terms(None, None, NOW)
    assert pruned(target, for_ever) == {}
    with db.org_session(target.engine, target.org) as session:
        models.set_retention(session, models.get(session, target.model_id), timedelta(days=60))
    assert pruned(target, for_ever)["samples"] > 0
    require_agreement(target)


def test_version_without_remaining_samples_is_like_a_new_one(target: Target) -> None:
    take(target, spread(10, last=datetime(2026, 2, 1, tzinfo=UTC)))
    pruned(target)
    with db.org_session(target.engine, target.org) as session:
        version = session.get_one(Version, target.version_id)
        assert (version.earliest, version.watermark, version.newest_logged_at) == (None, None, None)
        assert elapsed_windows.enqueue_elapsed(session, NOW, TERMS.samples) == 0
    take(target, spread(10, first=NOW - timedelta(days=3)))
    require_agreement(target)


@pytest.mark.parametrize("steps", range(1, 9))
def test_interrupted_prune_is_completed_by_the_next(target: Target, monkeypatch: Any, steps: int) -> None:
    monkeypatch.setattr(pruning_transactions, "ROWS_AT_ONCE", 50)
    rows = spread(300)
    take(target, rows)
    ingest_labels(target, [label(number) for number in range(300)])
    before, done = expected(target), list[int]()

    def is_over() -> bool:
        done.append(1)
        return len(done) > steps

    first = pruned(target, is_over=is_over)
    between = held(target)
    assert between["samples"] == between["quarters"] == between["ledger"]
    assert between["ids"] >= between["samples"]  # type: ignore[operator]
    assert between["labels"] == between["labelled"]
    assert first.get("samples", 0) + expected(target).get("samples", 0) == before["samples"]
    # A row sent again in between, with its original time of logging, is not stored twice.
    take(target, rows[:20], datetime(2026, 1, 20, tzinfo=UTC), "again")
    pruned(target)
    require_agreement(target)
    assert expected(target) == {}


def test_row_logged_again_into_a_pruned_month_keeps_its_id(target: Target) -> None:
    """The month was already detached."""
    early = datetime(2026, 1, 20, tzinfo=UTC)
    take(target, [row(1, early), row(2, early)])
    stopped = iter([False])
    pruned(target, is_over=lambda: next(stopped, True))
    assert (held(target)["ids"], held(target)["left"]) == (2, 1)
    with db.org_session(target.engine, target.org) as session:
        table = single(sample_tables.detached(session))
        model = models.get(session, target.model_id)
        session.execute(text(f"delete from ids_{model.relation} where k = :key"), {"key": UUID(bytes=key_of("s1"))})
    take(target, [row(1, early), row(2, early)], early + timedelta(days=1), "again")
    assert target.samples == 1

    with db.org_session(target.engine, target.org) as session:
        assert pruning_months._delete_ids_of(session, table, 0, 10).total() == 1
        assert pruning_months._delete_ids_of(session, table, 0, 10).total() == 0

    before = held(target)
    assert (before["ids"], before["samples"]) == (1, 1)


def test_pruned_windows_are_not_due_again(target: Target) -> None:
    take(target, spread(500))
    with db.org_session(target.engine, target.org) as session:
        session.execute(
            text(
                "insert into due_windows (version_id, window_start, window_end, due_at, touched_at)"
                " select :version, at, at + interval '1 day', now(), now()"
                " from generate_series(timestamptz '2026-03-30', '2026-04-02', '1 day') at"
            ),
            {"version": target.version_id},
        )
    pruned(target)
    assert target.scalar("select min(window_start) from due_windows") == datetime(2026, 4, 1, tzinfo=UTC)
    assert target.scalar("select count(*) from quarter_hours where at < '2026-04-01'") == 0


def test_results_of_open_alerts_outlive_their_retention(target: Target) -> None:
    """Results and alerts have their own retention."""
    with db.org_session(target.engine, target.org) as session:
        session.execute(
            text(
                "insert into checks (model_id, name, module_name, class_name, params, needs_labels, needs_reference)"
                " values (:model, 'c', 'm', 'c', '{}', false, false)"
            ),
            {"model": target.model_id},
        )
        session.execute(
            text(
                "insert into monitors (check_id, name, frequency, aggregation_window, lookback)"
                " select id, n, 'DAY', 1, '1 day' from checks, unnest(array['quiet', 'firing']) n"
            )
        )
        session.execute(
            text(
                "insert into alert_rules (monitor_id, operator, threshold, severity)"
                " select id, 'greater_than', 1, 'high' from monitors"
            )
        )
        session.execute(
            text(
                "insert into results (monitor_id, version_id, window_start, window_end, revision, state,"
                " metrics, entries, n, n_rows, n_labelled, rows_revision, labels_revision, reference_revision,"
                " monitor_revision, duration)"
                " select m.id, :version, at, at + interval '1 day', 1, 'OK', '{}', '{}', 1, 1, 0, 1, 0, 0, 1, '1 s'"
                " from monitors m, generate_series(timestamptz '2026-01-01', '2026-06-01', '1 day') at"
            ),
            {"version": target.version_id},
        )
        session.execute(
            text(
                "insert into alerts (rule_id, version_id, state, severity, first_window_start, first_window_end,"
                " last_window_end, windows, metric, worst_value,"
                " worst_window_end, current_value, drivers, n, opened_at)"
                " select r.id, :version, s.state, 'high', s.at, s.at + interval '1 day', s.at + interval '2 days', 2,"
                " 'x', 1, s.at, 1, '{}', 1, now() from alert_rules r join monitors m on m.id = r.monitor_id,"
                " (values ('resolved', timestamptz '2026-01-05'), ('firing', timestamptz '2026-02-10')) s(state, at)"
                " where m.name = 'firing' or s.state = 'resolved'"
            ),
            {"version": target.version_id},
        )
    counted = expected(target)
    # All 59 results before March of the monitor without alert, and those before the firing alert of the other monitor.
    assert (counted["alerts"], counted["results"]) == (2, 58 + 40)
    assert pruned(target) == counted
    assert target.scalar("select string_agg(state, ',') from alerts") == "firing"
    assert pruned(target) == {}


def test_second_concurrent_prune_is_refused(target: Target) -> None:
    with pruning.exclusive(target.engine, target.org), pytest.raises(errors.Locked, match="Another prune"):
        pruned(target)
    assert pruned(target) == {}


def test_killed_prune_does_not_block_the_next(app: App, target: Target) -> None:
    script = (
        "import sys\nfrom dcmon import db\nfrom dcmon.db import Organization\n"
        "from dcmon.storage import pruning\n"
        "with pruning.exclusive(db.engine(sys.argv[1]), Organization(int(sys.argv[2]), 'acme', '')):\n"
        "    print('has it', flush=True); sys.stdin.read()"
    )
    url = target.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-c", script, url, str(target.org.id)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environment(app.settings)
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"has it\n"
        with pytest.raises(errors.Locked):
            pruned(target)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def is_free() -> bool:
        try:
            return pruned(target) == {}
        except errors.Locked:
            return False

    assert eventually(is_free)


def test_prune_skips_an_organization_that_is_migrated(app: App, target: Target) -> None:
    """Other organizations are pruned."""
    take(target, spread(100))
    other = provisioning.create_organization(target.engine, "other", "o@other.example").organization
    with app.public() as session:
        for org in (target.org, other):
            organizations.set_terms(session, org, timedelta(days=60), None)
        orgs = organizations.entries(session)
    with target.engine.begin() as connection:
        locks.acquire(connection, LockSpace.ORGANIZATION, other.id)
        done = prune.prune(app, orgs, "tester")
        counted = prune.count_expired(app, orgs)
    assert [pruned_org.org.name for pruned_org in done if pruned_org.skipped is None] == ["acme"]
    for pruned_org in (done[1], counted[1]):
        assert isinstance(pruned_org.skipped, errors.Locked)
        assert "migrated" in str(pruned_org.skipped)
    assert sum(done[0].removed.values()) > 0


def test_ingestion_while_pruning_loses_and_doubles_nothing(target: Target, monkeypatch: Any) -> None:
    monkeypatch.setattr(pruning_transactions, "ROWS_AT_ONCE", 40)
    batches = [spread(600)[at::30] for at in range(30)]
    failed, ready = list[BaseException](), threading.Event()

    def ingest(part: int) -> None:
        try:
            for number, batch in enumerate(batches[part::2]):
                # The organization has no retention in its row, so the detached months are filled again.
                take(target, batch, NOW, f"{part}/{number}")
                ingest_labels(target, [label(int(json.loads(row)["_dc_sample_id"][1:])) for row in batch])
                ready.set()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=ingest, args=(part,)) for part in range(2)]
    for thread in threads:
        thread.start()
    assert ready.wait(300)
    while any(thread.is_alive() for thread in threads):
        pruned(target, is_fast=False)
    pruned(target)

    assert failed == []
    require_agreement(target)
    assert target.samples == sum(json.loads(row)["_dc_time"] >= "2026-04-01" for row in chain(*batches))


@pytest.mark.parametrize(
    ("seconds", "is_fast", "pauses"),
    [(0.01, False, [0.09]), (5.0, False, [pruning_transactions.MAX_PAUSE]), (5.0, True, [])],
)
def test_transaction_of_a_prune_is_followed_by_a_pause(
    target: Target, monkeypatch: pytest.MonkeyPatch, seconds: float, is_fast: bool, pauses: list[float]
) -> None:
    """The pause is nine times as long as the transaction, and at most a second."""
    ticks, slept = iter([0.0, seconds]), list[float]()
    clock = SimpleNamespace(monotonic=lambda: next(ticks), sleep=slept.append)
    monkeypatch.setattr(pruning_transactions, "time", clock)
    Prune(target.engine, target.org, TERMS, "tester", is_fast=is_fast).in_transaction(lambda _: None)
    assert slept == pytest.approx(pauses)


def test_deleted_version_removes_its_half_pruned_months(target: Target) -> None:
    take(target, spread(50))
    stopped = iter([False])
    pruned(target, is_over=lambda: next(stopped, True))
    with db.org_session(target.engine, target.org) as session:
        table = single(sample_tables.detached(session))
        assert migrations.RUN_TIME_TABLE.match(table.name)
        model, version = versions.get(session, target.version_id)
        lifecycle.delete_version(session, model, version)
        assert sample_tables.detached(session) == []
    assert pruned(target) == {}


def test_problem_messages_and_silences_go_with_results(target: Target) -> None:
    """Messages about problems of dcmon and ended silences have the retention of results."""
    old, young = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 5, 1, tzinfo=UTC)
    with db.org_session(target.engine, target.org) as session:
        webhook = Webhook(name="w", kind="webhook", url="https://hooks.example.org/x", secret=b"", severities=[])
        session.add(webhook)
        session.flush()
        for created_at, delivered_at in ((old, old), (old, None), (young, young)):
            session.execute(
                text(
                    "insert into notifications (webhook_id, kind, body, created_at, delivered_at)"
                    " values (:webhook, 'firing', '{}', :created, :delivered)"
                ),
                {"webhook": webhook.id, "created": created_at, "delivered": delivered_at},
            )
        for ends_at in (old, young):
            session.add(Silence(matchers=["model=a"], starts_at=ends_at, ends_at=ends_at, reason="", by="ann"))
    would = expected(target)
    assert {table: would[table] for table in ("notifications", "silences")} == {"notifications": 1, "silences": 1}
    assert pruned(target) == would
    assert expected(target) == {}
    assert target.scalar("select count(*) from notifications") == 2
    assert target.scalar("select count(*) from silences") == 1


def test_receipts_are_counted_by_dry_run_and_prune_alike(target: Target) -> None:
    take(target, spread(10), NOW - timedelta(days=100), "then")
    would = expected(target)
    assert would["receipts"] == 1
    assert pruned(target) == would
    assert pruned(target) == {}


def test_old_baseline_goes_with_the_last_result_that_used_it(target: Target) -> None:
    """The baseline belongs to an older reference."""
    with db.org_session(target.engine, target.org) as session:
        check = model_checks.get_or_create_check(session, models.get(session, target.model_id), "PercentOfNulls")
        monitor = monitors.create(session, check, MonitorSpec("Nulls", Frequency.DAY)).id
        session.get_one(Version, target.version_id).reference_revision = 3
        for revision in (1, 2, 3):
            session.add(
                Baseline(
                    monitor_id=monitor,
                    version_id=target.version_id,
                    reference_revision=revision,
                    monitor_revision=1,
                    state="OK",
                    metrics={},
                    entries={},
                    n=1,
                    computed_at=datetime(2026, 1, 1, tzinfo=UTC),
                )
            )
        session.flush()
        statistics = WindowStatistics(1, 0, 1, 0, NOW)
        window = Window(NOW - timedelta(days=1), NOW)
        monitor_row = monitors.get(session, monitor)
        key = ResultKey(monitor_row, target.version_id, window)
        results.store(session, key, CheckValue("OK", {}), ResultInputs(statistics, 2), CheckRun(1), last=None)
    assert expected(target)["baselines"] == 1
    assert pruned(target)["baselines"] == 1
    with db.org_session(target.engine, target.org) as session:
        assert sorted(session.scalars(select(Baseline.reference_revision))) == [2, 3]
