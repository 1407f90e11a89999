"""Command line of monitors: run, backfill, set, history, delete."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from dcmon.alerting import rules
from dcmon.app import App
from dcmon.db.locks import LockSpace, SessionLock
from dcmon.monitoring import manual_runs, model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.pages import monitor_series
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from dcmon.windows import Frequency
from tests.conftest import Acme
from tests.helpers.installed import Dcmon
from tests.helpers.waiting import blocked_writer, eventually, is_waiting_for_a_lock

START = datetime(2026, 3, 2, tzinfo=UTC)
NULLS = "credit/Nulls of age"


@pytest.fixture
def credit(app: App, acme: Acme, database_url: str, with_url: Callable[[str], Dcmon]) -> Dcmon:
    """Create a daily monitor on ten days of hourly samples; day 7 has no ages."""
    with app.org(acme.org) as session:
        model = models.create(session, NewModel("credit", "binary"))
        version = versions.create(session, model, NewVersion("v1", {"age": "numeric", "job": "categorical"}))
        check = model_checks.get_or_create_check(session, model, "PercentOfNulls")
        chosen = {"check_conf": {"feature": ["age"], "aggregation method": ["max"]}, "res_conf": None}
        monitor = monitors.create(session, check, MonitorSpec("Nulls of age", Frequency.DAY, additional_kwargs=chosen))
        rules.create(session, monitor.id, rules.parse("> 0.5"), "high")
        version_id = version.id
    rows = [
        {"_dc_sample_id": f"s{n}", "_dc_time": (START + timedelta(hours=n)).isoformat(), "_dc_prediction": "1",
         "age": None if n // 24 == 7 else n, "job": "j"}
        for n in range(24 * 10)
    ]  # fmt: skip
    app.ingestion.ingest_samples(acme.org, version_id, [json.dumps(row).encode() for row in rows])
    return with_url(database_url)


def values(credit: Dcmon, *more: str) -> list[tuple[str, float | None, int]]:
    results = credit.json("monitor", "history", NULLS, *more)
    return [(result["window_end"][:10], result["value"], result["revision"]) for result in results]


def test_run_has_the_exit_code_of_its_verdict(credit: Dcmon) -> None:
    assert credit("monitor", "run", NULLS).returncode == 0
    bad = credit("monitor", "run", "Nulls of age", "--at", "2026-03-10")
    assert bad.returncode == 1
    assert "high" in bad.stdout
    assert credit("monitor", "run", NULLS, "--from", "2026-03-08", "--to", "2026-03-11").returncode == 1
    assert credit("monitor", "run", NULLS, "--at", "2026-03-01").returncode == 8
    for wrong in (["--at", "2026-03-10", "--to", "2026-03-11"], ["--wait", "--from", "2026-03-08"], ["--timeout", "x"]):
        assert credit("monitor", "run", NULLS, *wrong).returncode == 2
    assert credit("monitor", "run", "nobody").returncode == 5
    assert [value for _, value, _ in values(credit)] == [0.0, 1.0, 0.0, 0.0]


def test_run_with_a_rule_without_verdict_exits_8_or_1(credit: Dcmon) -> None:
    """A rule without verdict exits with 8, unless another rule is violated."""
    credit.json("rule", "create", NULLS, "> 0.5", "--min-n", "1000")
    few = credit("monitor", "run", NULLS)
    assert (few.returncode, "24 of 1000" in " ".join(few.stdout.split())) == (8, True), few.stdout
    assert credit("monitor", "run", NULLS, "--at", "2026-03-10").returncode == 1


def test_run_without_a_verdict_may_pass_but_no_wait_that_failed(credit: Dcmon) -> None:
    new = ["--task", "binary", "--version", "v1", "--feature", "age:numeric", "--no-defaults"]
    credit.json("model", "create", "new", *new)
    credit.json("monitor", "create", "Nulls", "--model", "new", "--check", "PercentOfNulls")
    run = ["monitor", "run", "--all", "--at", "2026-03-11"]
    assert credit(*run).returncode == 8
    assert credit(*run, "--allow-no-verdict").returncode == 0
    assert credit(*run, "--allow-no-verdict", "--wait", "--timeout", "1s").returncode == 8


def test_run_wait_ends_with_a_complete_window_or_its_timeout(credit: Dcmon, app: App, acme: Acme) -> None:
    """`run --wait` ends when the window is complete or the timeout is over."""
    late = credit("monitor", "run", NULLS, "--wait", "--at", "2026-03-20", "--timeout", "1s")
    assert late.returncode == 3
    assert "the window is not complete: no version of credit has samples newer than 2026-03-20" in late.stderr
    waiting = credit.start("monitor", "run", NULLS, "--wait", "--at", "2026-03-13", "--timeout", "300s")
    assert waiting.stderr is not None
    assert "waiting: no version of credit" in waiting.stderr.readline()
    row = {"_dc_sample_id": "new", "_dc_time": "2026-03-12T05:00:00Z", "_dc_prediction": "1", "age": 1, "job": "j"}
    with app.org(acme.org) as session:
        version_id = session.scalar(text("select id from versions"))
    app.ingestion.ingest_samples(acme.org, version_id, [json.dumps(row).encode()])
    out, _ = waiting.communicate(timeout=300)
    assert waiting.returncode == 0, out
    assert values(credit) == [("2026-03-13", 0.0, 1)]


def test_manual_runs_of_one_monitor_wait_for_each_other(credit: Dcmon, app: App, acme: Acme) -> None:
    with SessionLock(app.engine, LockSpace.MANUAL_RUN, manual_runs.lock_name(acme.org, 1)) as lock:
        assert lock.try_acquire()
        busy = credit("monitor", "run", NULLS, "--timeout", "1s")
        assert (busy.returncode, busy.stdout) == (6, "")
        assert "waiting: another run or backfill works on" in busy.stderr
        running = credit.start("monitor", "run", NULLS)
        assert running.stderr is not None
        assert "waiting: another run or backfill works on" in running.stderr.readline()
    running.communicate(timeout=300)
    assert running.returncode == 0


def test_backfill_after_ctrl_c_evaluates_only_what_is_missing(credit: Dcmon, app: App, acme: Acme) -> None:
    """Backfill evaluates missing windows once and continues after Ctrl-C."""

    def stored() -> int:
        with app.org(acme.org) as session:
            return int(session.scalar(text("select count(*) from results")) or 0)

    credit.json("monitor", "set", NULLS, "--frequency", "HOUR")
    with blocked_writer(app.engine, f"{acme.org.schema}.results", "new.id > 20"):
        interrupted = credit.start("monitor", "backfill", NULLS, "--from", "2026-03-09")
        assert eventually(lambda: interrupted.poll() is not None or is_waiting_for_a_lock(app.engine))
        interrupted.send_signal(signal.SIGINT)
        interrupted.communicate(timeout=300)
    existing = stored()
    assert interrupted.returncode == 130
    assert 5 <= existing < 72
    done = credit.json("monitor", "backfill", NULLS, "--from", "2026-03-09")
    assert (done["windows"], done["existing"], done["evaluated"]) == (72, existing, 72 - existing)
    again = credit.json("monitor", "backfill", NULLS, "--from", "2026-03-09")
    assert (again["existing"], again["evaluated"], again["states"]) == (72, 0, {})
    assert {revision for _, _, revision in values(credit, "--revisions")} == {1}


def test_monitor_set_reevaluates_only_what_it_changes(credit: Dcmon) -> None:
    credit.json("monitor", "backfill", NULLS, "--from", "2026-03-01")
    quiet = credit.json("monitor", "set", NULLS, "--name", "Nulls", "--lookback", "90d", "--description", "of age")
    assert (quiet["name"], quiet["revision"], quiet["windows_due"]) == ("credit/Nulls", 1, 0)
    credit.json("monitor", "copy", "Nulls", "Other nulls")
    taken = credit("monitor", "set", "Nulls", "--name", "Other nulls")
    assert (taken.returncode, "has a monitor 'Other nulls' already" in taken.stderr) == (6, True)
    loud = credit.json("monitor", "set", "Nulls", "--filter", "age >= 12", "--rows", "all")
    assert loud["revision"] == 2
    assert loud["windows_due"] == 10
    assert credit.json("monitor", "history", "Nulls") == []
    assert credit.json("monitor", "backfill", "Nulls", "--from", "2026-03-01")["evaluated"] == 10
    shown = credit.json("monitor", "history", "Nulls", "--revisions")
    assert {(result["monitor_revision"], result["revision"]) for result in shown} == {(1, 1), (2, 2)}
    first = next(result for result in shown if result["revision"] == 2)
    assert (first["n"], first["of"], first["label_coverage"], first["how"]["rows"]) == (12, 24, 0.0, "all")
    assert first["how"]["statistics"] == "dcmon 1 = deepchecks 0.19.1"
    reset = credit.json("monitor", "set", "Nulls", "--reset", "filter", "--frequency", "hour")
    assert reset["revision"] == 3
    assert credit.json("monitor", "show", "Nulls")["lookback"] == "7d"  # that of the frequency
    for wrong in ([], ["--rows", "0"], ["--rows", "few"], ["--reset", "all"], ["--frequency", "YEAR"],
                  ["--feature", "nope"], ["--aggregation-window", "0"], ["--filter", "nope > 1"]):  # fmt: skip
        assert credit("monitor", "set", "Nulls", *wrong).returncode == 2, wrong
    assert credit("monitor", "delete", "Nulls").returncode == 2
    would = credit.json("monitor", "delete", "Nulls", "--dry-run")
    assert (would.pop("dry_run"), would["rules"], would["results"] > 0) == (True, 1, True)
    assert credit.json("monitor", "delete", "Nulls", "--yes") == would
    assert credit("monitor", "show", "Nulls").returncode == 5


def test_new_monitor_has_all_rules_of_its_options(credit: Dcmon) -> None:
    credit.json("monitor", "create", "Two", "--model", "credit", "--check", "PercentOfNulls", "--severity", "high",
                "--rule", "> 0.9", "--rule", "age > 0.5")  # fmt: skip
    of_monitor = [rule for rule in credit.json("rule", "list") if rule["monitor"] == "credit/Two"]
    assert [rule["severity"] for rule in of_monitor] == ["high", "high"]
    assert sorted(rule["condition"] for rule in of_monitor) == ["> 0.9", "age > 0.5"]


def test_monitor_show_repeats_the_options_as_typed(credit: Dcmon) -> None:
    credit.json("monitor", "create", "Flow", "--model", "credit", "--check", "DataFlow", "--metric", "rows",
                "--description", "of all", "--lookback", "60d", "--rows", "all")  # fmt: skip
    shown = credit.json("monitor", "show", "Flow")
    known = {"metric": ["rows"], "rows": "all", "lookback": "60d", "description": "of all", "revision": 1}
    assert known.items() <= shown.items()
    assert shown["compared_with"] is None
    assert credit.json("monitor", "set", "Flow", "--metric", "lag", "--metric", "labels")["revision"] == 2
    assert credit.json("monitor", "show", "Flow")["metric"] == ["lag", "labels"]
    credit.json("monitor", "set", "Flow", "--reset", "metric")
    assert credit.json("monitor", "show", "Flow")["metric"] is None
    credit.json("monitor", "create", "Week", "--model", "credit", "--check", "FeatureDrift", "--compare", "week")
    assert credit.json("monitor", "show", "Week")["compared_with"] == "week"


def test_windows_follow_a_changed_time_zone(credit: Dcmon) -> None:
    credit.json("monitor", "backfill", NULLS, "--from", "2026-03-01")
    done = credit.json("model", "set", "credit", "--time-zone", "Europe/Berlin", "--lateness", "10m",
                       "--label-ratio", "0.8", "--label-delay", "3d")  # fmt: skip
    assert done == {"name": "credit", "time_zone": "Europe/Berlin", "lateness": "10m", "label_ratio": 0.8,
                    "label_delay": "3d", "windows_due": 11}  # fmt: skip
    credit.json("monitor", "backfill", NULLS, "--from", "2026-03-01")
    history = credit.json("monitor", "history", NULLS)
    assert credit.json("monitor", "history", NULLS, "--until", history[1]["window_end"]) == history[:2]
    ends = {result["window_end"][10:16] for result in history}
    assert ends == {"T23:00"}
    [version] = credit.json("model", "show", "credit")["versions"]
    assert version["state"] == "loaded"
    for wrong in ([], ["--time-zone", "Mars/Olympus"], ["--label-ratio", "2"], ["--lateness", "soon"]):
        assert credit("model", "set", "credit", *wrong).returncode == 2, wrong


def test_manual_run_output_has_no_library_noise(credit: Dcmon) -> None:
    """The command is started as installed: a shared process that loads deepchecks would write elsewhere."""
    installed = Dcmon(credit.data_dir, credit.port, credit.settings)
    done = installed("-o", "json", "monitor", "run", NULLS)
    assert json.loads(done.stdout)[0]["state"] == "OK"
    assert done.stderr == ""


@pytest.mark.parametrize("later", [0, 0.07, 0.31])
def test_ctrl_c_during_run_wait_exits_130(credit: Dcmon, later: float) -> None:
    waiting = credit.start("monitor", "run", NULLS, "--wait", "--at", "2026-03-20", is_group=True)
    assert waiting.stderr is not None
    assert "waiting: no version of credit" in waiting.stderr.readline()
    time.sleep(later)
    os.killpg(waiting.pid, signal.SIGINT)
    _, err = waiting.communicate(timeout=300)
    assert waiting.returncode == 130, err
    assert "Traceback" not in err


def test_parameters_of_the_check_are_changed_and_reset(credit: Dcmon) -> None:
    changed = credit.json(
        "monitor", "set", NULLS, "--param", "max_features_to_show=3", "--param", "aggregation_method=max"
    )
    assert (changed["revision"], changed["windows_due"]) == (2, 10)
    shown = credit.json("monitor", "show", NULLS)
    assert shown["params"] == {"max_features_to_show": 3, "aggregation_method": "max"}
    assert credit.json("monitor", "set", NULLS, "--param", "max_features_to_show=3")["revision"] == 2
    credit.json("monitor", "set", NULLS, "--reset", "param", "--param", "max_features_to_show=2")
    assert credit.json("monitor", "show", NULLS)["params"] == {"max_features_to_show": 2}
    assert credit("monitor", "set", NULLS, "--param", "n top=3").returncode == 2


def test_monitor_list_shows_an_overdue_window_until_it_is_run(credit: Dcmon, app: App, acme: Acme) -> None:
    def line() -> tuple[str, str | None]:
        [row] = credit.json("monitor", "list")
        return row["liveness"], row["awaited"] and row["awaited"][:10]

    assert line() == ("due", "2026-03-12")
    with app.org(acme.org) as session:
        session.execute(text("update versions set newest_logged_at = newest_logged_at - interval '2 hours'"))
        session.execute(text("update monitors set created_at = created_at - interval '2 hours'"))
    assert line() == ("overdue", "2026-03-12")
    credit("monitor", "run", NULLS)
    assert line() == ("loaded", None)


def test_dry_run_says_that_it_writes_no_report(credit: Dcmon, tmp_path: Path) -> None:
    file = tmp_path / "result.xml"
    tried = credit("monitor", "run", NULLS, "--junit", str(file), "--dry-run")
    assert f"A dry run writes no report: {file} stays as it is." in tried.stderr
    assert not file.exists()
    both = credit("monitor", "run", NULLS, "--all")
    assert (both.returncode, "Give either monitors or --all, not both." in both.stderr) == (2, True)


def test_history_draws_a_chart_in_any_width(credit: Dcmon) -> None:
    credit("monitor", "run", NULLS, "--from", "2026-03-08", "--to", "2026-03-11")
    drawn = credit("monitor", "history", NULLS, "--chart").stdout
    assert "> 0.5 high" in drawn
    assert "1 violated" in drawn
    assert "version v1" in drawn
    assert len(credit.json("monitor", "history", NULLS, "--chart")) == len(values(credit))
    limited = credit("monitor", "history", NULLS, "--chart", "--limit", "1")
    assert "• 1 window  " in limited.stdout
    assert "2 more are left out by --limit 1." in limited.stderr
    assert credit("monitor", "history", NULLS, "--chart", "--revisions").returncode == 2


def test_history_shows_how_sure_a_value_is(credit: Dcmon, app: App, acme: Acme) -> None:
    """24 nulls of 24 rows: the share is surely above 0.86. A result of an earlier version has no interval."""
    credit("monitor", "run", NULLS, "--at", "2026-03-10")
    name, limits = "Max Null Ratio", [0.862024, 1.0]
    result = credit.json("monitor", "history", NULLS)[0]
    assert (result["low"], result["high"], result["noise"]) == (*limits, {})
    assert result["intervals"] == {name: limits, "age": limits}
    assert "1 (0.862..1)" in credit("monitor", "history", NULLS).stdout
    with app.org(acme.org) as session:
        points = monitor_series.read(session, models.find(session, "credit")).monitors[0].points
        assert [point.intervals for point in points] == [{name: tuple(limits)}]
    with app.org(acme.org) as session:
        session.execute(text("update results set intervals = null, noise = null"))
    with app.org(acme.org) as session:
        older = monitor_series.read(session, models.find(session, "credit"))
        assert older.monitors[0].points[0].intervals == {}
    result = credit.json("monitor", "history", NULLS)[0]
    assert (result["low"], result["high"], result["intervals"], result["noise"]) == (None, None, None, None)
    assert "(0.862" not in credit("monitor", "history", NULLS).stdout


def test_drift_of_several_features_is_shown_with_its_noise(credit: Dcmon) -> None:
    """The mean over features has no interval; what it would be without drift stands beside it."""
    credit.json("monitor", "create", "Drift", "--model", "credit", "--check", "FeatureDrift", "--compare", "previous")
    credit("monitor", "run", "Drift", "--at", "2026-03-09")
    result = credit.json("monitor", "history", "Drift")[0]
    assert result["noise"]["age"] == pytest.approx(1.3581 * (2 / 24) ** 0.5, rel=1e-4)
    assert result["noise"][result["metric"]] == pytest.approx(result["noise"]["age"] / 2, rel=1e-4)
    assert result["intervals"].keys() == {"age"}
    assert (result["low"], result["high"]) == (None, None)
    assert "(noise 0.196)" in credit("monitor", "history", "Drift").stdout


def test_metric_is_shown_by_its_own_name(credit: Dcmon) -> None:
    credit.json("monitor", "create", "Flow", "--model", "credit", "--check", "DataFlow")
    credit.json("monitor", "backfill", "Flow", "--from", "2026-03-08")
    results = credit.json("monitor", "history", "Flow")
    assert {(result["metric"], result["value"]) for result in results} == {("rows", 24.0)}
    assert {
        stored_result["value"] for stored_result in credit.json("monitor", "history", "Flow", "--metric", "Lag")
    } != {24.0}
    credit.json("rule", "create", "Flow", "label ratio < 0.1")
    assert {(outcome["metric"], outcome["value"]) for outcome in credit.json("monitor", "history", "Flow")} == {
        ("label ratio", 0.0)
    }
    heads = credit("monitor", "history", "Flow", "--metric", "rows", "--metric", "labels").stdout.splitlines()[0]
    assert ("rows" in heads, "labels" in heads, "value" in heads) == (True, True, False)
    assert credit("monitor", "history", "Flow", "--metric", "nothing").returncode == 2
    refused = credit("monitor", "history", "Flow", "--metric", "labls").stderr
    assert "No result has a metric 'labls'. Do you mean 'labels'? The metrics are " in refused


def test_ctrl_c_after_the_last_line_keeps_the_exit_code(credit: Dcmon) -> None:
    running = credit.start("monitor", "run", NULLS)
    assert running.stdout is not None
    while "OK" not in running.stdout.readline():
        assert running.poll() in (None, 0)
    while running.poll() is None:
        running.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            running.wait(0.002)
    running.communicate(timeout=300)
    assert running.returncode in (0, 130)
