"""The examiner finds each kind of fault that the tests create."""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from dcmon.app import App
from dcmon.embedded import process
from dcmon.jobs import evaluate, notify, schedule
from dcmon.output import Output
from tests.chaos.book import AcceptedRows
from tests.chaos.monitors import run
from tests.chaos.monitors.examiner import Examiner, locks
from tests.chaos.monitors.rules import Rule, WindowResult, beyond, spans
from tests.chaos.monitors.world import World, build
from tests.chaos.processes import Program
from tests.chaos.verdict import Verdict
from tests.conftest import _administer, _database, drop_database
from tests.helpers.paths import ROOT
from tests.integration.conftest import running

Connection = psycopg.Connection[dict[str, Any]]

pytestmark = pytest.mark.thorough  # test_chaos.py uses the examiner each day; what it finds is tried before a release


@pytest.fixture(scope="module")
def completed_world(
    server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, Path, str]]:
    """Yield a world with everything evaluated and notified, the receivers' log and the URL."""
    name, folder = "dcmon_test_examined", tmp_path_factory.mktemp("examined")
    _administer(server_url, f"create database {name} template {template}")
    url, log, port = _database(server_url, name), folder / "received.jsonl", process.free_port()
    log.with_suffix(".calm").touch()
    command = [sys.executable, "-m", "tests.chaos.monitors.receiver", str(port), str(log), "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    receiver = Program("receiver", "receiver", command, environment, folder / "receiver.log")
    receiver.start()
    (is_watched := threading.Event()).set()
    with App(run.settings(url, folder), Output(quiet=True)) as app, ExitStack() as stack:
        stack.callback(receiver.end)
        world = build(app.engine, 3, 4, port, run.LABEL_DELAY)
        for target in world.targets:
            run.Client(app.engine, target, AcceptedRows(), 0, is_watched).run()
        for job in (evaluate.run, notify.run, schedule.run):
            stack.enter_context(running(job, app))
        examiner = Examiner(world, log)
        assert process.wait_until(lambda: examined(url, examiner).is_well, 300, every=1), examined(url, examiner)
        stack.close()
    yield world, log, url
    drop_database(server_url, name)


def examined(url: str, examiner: Examiner) -> Verdict:
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return examiner.examine(connection)


@pytest.fixture
def connection(completed_world: tuple[World, Path, str]) -> Iterator[Connection]:
    """Yield a connection whose changes are rolled back after the test."""
    with psycopg.connect(completed_world[2], row_factory=dict_row) as connection:
        connection.execute("select set_config('search_path', %s, false)", [completed_world[0].targets[0].org.schema])
        yield connection
        connection.rollback()


def test_examiner_finds_no_fault_in_a_complete_run(
    completed_world: tuple[World, Path, str], connection: Connection
) -> None:
    world, log, _ = completed_world
    verdict = Examiner(world, log).examine(connection)
    assert verdict.is_well, str(verdict)
    assert min(verdict.counts[name] for name in ("results", "alerts", "notifications", "deliveries")) > 5
    assert locks(connection) == []


A_RESULT = (
    "where id = (select max(r.id) from results r join monitors m on m.id = r.monitor_id where m.name = '{}'"
    " and r.state = 'OK')"
)
AN_ALERT = "where id = (select max(id) from alerts where resolved_by is distinct from 'revision')"
NOTIFIED_ALERT = "(select max(id) from alerts a where exists (select 1 from notifications n where n.alert_id = a.id))"
FAULTS = {
    "a window without a result": ("delete from results " + A_RESULT.format("Nulls"), "lost"),
    "a revision that is missing": ("update results set revision = revision + 1 " + A_RESULT.format("Rows"), "lost"),
    "a revision that is there twice": (
        "insert into results (monitor_id, version_id, window_start, window_end, revision, state, metrics, entries, n,"
        " n_rows, n_labelled, rows_revision, labels_revision, reference_revision, monitor_revision, duration)"
        " select monitor_id, version_id, window_start, window_end, revision, state, metrics, entries, n, n_rows,"
        " n_labelled, rows_revision + 1, labels_revision, reference_revision, monitor_revision, duration from results "
        + A_RESULT.format("Right"),
        "doubled",
    ),
    "another share of nulls": ("""update results set metrics = '{"x": 2}' """ + A_RESULT.format("Nulls"), "wrong"),
    "other entries": ("""update results set entries = '{"age": 2}' """ + A_RESULT.format("Nulls"), "wrong"),
    "another drift": (
        "update results set metrics = (select jsonb_object_agg(key, value::text::float8 + 1e-6)"
        " from jsonb_each(metrics::jsonb)) " + A_RESULT.format("Drift"),
        "wrong",
    ),
    "another number of labelled rows": ("update results set n = n + 1 " + A_RESULT.format("Right"), "wrong"),
    "a window that could not be computed": ("update results set state = 'ERROR' " + A_RESULT.format("Moved"), "wrong"),
    "an alert that is gone": ("delete from alerts " + AN_ALERT, "lost"),
    "an alert too many": (
        "insert into alerts (rule_id, version_id, state, severity, first_window_start, first_window_end,"
        " last_window_end, windows, metric, worst_window_end, drivers, n, opened_at) select rule_id, version_id,"
        " 'resolved', severity, first_window_start, first_window_end, last_window_end, windows, metric,"
        " worst_window_end, drivers, n, opened_at from alerts " + AN_ALERT,
        "wrong",
    ),
    "another severity": (
        "update alerts set severity = case when severity = 'low' then 'high' else 'low' end " + AN_ALERT,
        "wrong",
    ),
    "another state": (
        "update alerts set state = case when state = 'firing' then 'resolved' else 'firing' end " + AN_ALERT,
        "wrong",
    ),
    "another worst value": ("update alerts set worst_value = coalesce(worst_value, 0) + 1 " + AN_ALERT, "wrong"),
    "a notification that was never written": (f"delete from notifications where alert_id = {NOTIFIED_ALERT}", "wrong"),
    "a notification that waits": (
        "update notifications set delivered_at = null where position = (select max(position) from notifications)",
        "lost",
    ),
    "one that was given up": (
        "update notifications set delivered_at = null, dead_at = now()"
        " where position = (select max(position) from notifications)",
        "lost",
    ),
    "the newest superseded": (
        "update notifications set is_superseded = true where position = (select max(position) from notifications)",
        "lost",
    ),
    "one that is said to be delivered": (
        "update notifications set message_id = gen_random_uuid()"
        " where position = (select max(position) from notifications)",
        "lost",
    ),
    "a lease on a window": (
        "insert into due_windows (version_id, window_start, window_end, due_at, touched_at, lease_until)"
        " select id, now(), now(), now(), now(), now() from versions limit 1",
        "wrong",
    ),
    "a lease on a notification": (
        "update notifications set lease_until = now() + interval '1 minute'"
        " where position = (select max(position) from notifications)",
        "wrong",
    ),
    "rows that nobody looked at": (
        "update quarter_hours set is_touched = true where at = (select max(at) from quarter_hours)",
        "wrong",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_examiner_finds_each_fault(
    completed_world: tuple[World, Path, str], connection: Connection, fault: str
) -> None:
    statement, kind = FAULTS[fault]
    world, log, _ = completed_world
    assert connection.execute(statement.encode()).rowcount > 0, statement
    assert getattr(Examiner(world, log).examine(connection), kind), fault


Lines = list[dict[str, Any]]


def doubled(lines: Lines) -> Lines:
    return [*lines, {**lines[0], "body": {**lines[0]["body"], "timestamp": "2026"}}]


def turned(lines: Lines) -> Lines:
    """Swap the first two messages about one alert at one receiver."""
    for number, line in enumerate(lines):
        if "alert" in line["body"]:
            key = (line["path"], line["body"]["alert"]["id"])
            for later in range(number + 1, len(lines)):
                other = lines[later]
                if "alert" in other["body"] and (other["path"], other["body"]["alert"]["id"]) == key:
                    return [*lines[:number], other, *lines[number:later], *lines[later + 1 :]]
    pytest.skip("no receiver got two messages about one alert")


DELIVERY_FAULTS: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "nothing came": (lambda _: [], "lost"),
    "a message that never came": (lambda lines: lines[1:], "lost"),
    "a message that was refused": (lambda lines: [{**lines[0], "response": "500"}, *lines[1:]], "lost"),
    "an id of two contents": (doubled, "wrong"),
    "messages out of order": (turned, "wrong"),
}


@pytest.mark.parametrize("fault", DELIVERY_FAULTS)
def test_examiner_finds_each_delivery_fault(
    completed_world: tuple[World, Path, str], connection: Connection, tmp_path: Path, fault: str
) -> None:
    tamper, kind = DELIVERY_FAULTS[fault]
    world, log, _ = completed_world
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    (tmp_path / "log").write_text("".join(json.dumps(line) + "\n" for line in tamper(lines)))
    assert getattr(Examiner(world, tmp_path / "log").examine(connection), kind), fault


def test_examiner_finds_a_held_lock(completed_world: tuple[World, Path, str], connection: Connection) -> None:
    connection.execute("select pg_advisory_xact_lock(7, 7)")  # any lock: the examiner expects none
    assert len(locks(connection)) == 1


def test_expected_alerts_match_the_documented_table() -> None:
    """Check the expected alerts themselves against some lines of docs/alerts.md."""
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    values = [0.0, 0.25, 0.15, 0.25, 0.25, 0.0, 0.0, 0.15]
    series = [WindowResult(begins + timedelta(hours=at), "OK", {"m": value}, {}, 9) for at, value in enumerate(values)]
    rule = Rule("> 0.2 warn 0.1", beyond(0.2, 0.1), "high", "low", for_windows=2, keep_firing=1)
    first, last = spans(rule, series)
    assert (first.first, first.fired, first.last) == tuple(begins + timedelta(hours=at) for at in (1, 2, 4))
    assert (first.state, first.severity, first.windows, first.worst, first.current) == (
        "resolved",
        "high",
        4,
        0.25,
        0.0,
    )
    assert (last.state, last.severity, last.windows) == ("pending", "low", 1)
