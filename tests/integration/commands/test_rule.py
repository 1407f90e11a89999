"""Command line of rules, alerts, silences and mute times."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.command_line import dcmon
from tests.helpers.evaluation import day
from tests.helpers.judged_results import create_rule, store_and_judge
from tests.integration.conftest import Target

RunDcmon = Callable[..., "subprocess.CompletedProcess[str]"]

HUGE = "99999999999999999999999"
VALUES = [0.1, 0.1, 0.3, 0.5, 0.1, 0.1, 0.1, 0.3, 0.1, 0.1, 0.4, 0.6]


@pytest.fixture
def run_dcmon(data_dir: Path, database_url: str, target: Target) -> RunDcmon:
    """Return dcmon at 80 columns on a model with a firing alert."""
    create_rule(target, "> 0.2", name="drift é")
    for number, value in enumerate(VALUES):
        store_and_judge(target, number, value)

    def run(*arguments: str, columns: str = "80") -> "subprocess.CompletedProcess[str]":
        done = dcmon(*arguments, data_dir=data_dir, url=database_url, COLUMNS=columns)
        assert "Traceback" not in done.stderr
        if os.environ.get("SHOW"):
            print("$ dcmon", *arguments, "\n" + done.stdout + done.stderr)
        return done

    return run


def read_json(run_dcmon: RunDcmon, *arguments: str) -> Any:
    done = run_dcmon("-o", "json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def require_fits(done: "subprocess.CompletedProcess[str]") -> None:
    assert done.returncode == 0, done.stderr
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


def test_alerts_are_listed_acknowledged_resolved_and_reopened(run_dcmon: RunDcmon) -> None:
    """Alerts are listed, shown, acknowledged, resolved and reopened."""
    listed = read_json(run_dcmon, "alert", "list")
    assert [(row["id"], row["state"], row["windows"], row["worst"], row["now"]) for row in listed] == [
        (3, "firing", 2, 0.6, 0.6)
    ]
    assert [row["state"] for row in read_json(run_dcmon, "alert", "list", "--all")] == [
        "resolved",
        "resolved",
        "firing",
    ]
    assert len(read_json(run_dcmon, "alert", "list", "--state", "resolved")) == 2
    assert read_json(run_dcmon, "alert", "list", "--severity", "low") == []
    second = read_json(run_dcmon, "alert", "list", "--all")[1]["since"]
    began = {word: read_json(run_dcmon, "alert", "list", "--all", word, second) for word in ("--since", "--until")}
    assert {word: [row["id"] for row in rows] for word, rows in began.items()} == {"--since": [2, 3], "--until": [1]}
    require_fits(run_dcmon("alert", "list", "--all"))
    shown = read_json(run_dcmon, "alert", "show", "3")
    assert (shown["first_value"], shown["last_value"], shown["worst"], shown["current"]) == (0.4, 0.6, 0.6, 0.6)
    assert [entry[:10] for entry in (*shown["first_window"], *shown["window"])] == [
        "2026-03-12", "2026-03-13", "2026-03-13", "2026-03-14",
    ]  # fmt: skip
    assert "0.6 now, 0.4 at first, 0.6 at last, 0.6 at worst" in run_dcmon("alert", "show", "3", columns="200").stdout
    assert shown["summary"] == "credit/Drift (v1): score is 0.6 (> 0.2), 2 windows since 2026-03-12"
    assert shown["moved"][0] == {"name": "age", "before": 0.1, "after": 0.6}
    assert shown["next"][0] == "dcmon --org acme monitor show credit/Drift"
    assert (shown["check"], shown["rule_name"], shown["sentence"]) == ("FeatureDrift", "drift é", "high when > 0.2")
    people = run_dcmon("alert", "show", "3")
    require_fits(people)
    wide = " ".join(run_dcmon("alert", "show", "3", columns="200").stdout.split())
    for fact in ("check FeatureDrift", "drift é: high when > 0.2", "2026-03-13 to 2026-03-14", "0.6 now", "0.1 before",
                 "the reference (revision 1)", "age 0.1 → 0.6", "firing team", "dcmon --org acme alert"):  # fmt: skip
        assert fact in wide

    assert read_json(run_dcmon, "alert", "ack", "3", "--note", "on it")["changed"] is True
    assert "so the note is not stored" in run_dcmon("alert", "ack", "3", "--note", "me too").stderr
    assert [row["id"] for row in read_json(run_dcmon, "alert", "list", "--state", "acknowledged")] == [3]
    assert read_json(run_dcmon, "alert", "resolve", "3", "--yes", "--note", "new pricing")["was_firing"] is True
    over = " ".join(run_dcmon("alert", "show", "3", columns="200").stdout.split())
    assert ": new pricing severity" in over
    assert ": on it" in over
    assert read_json(run_dcmon, "alert", "reopen", "3")["state"] == "firing"
    lines = read_json(run_dcmon, "alert", "history", "3")
    assert [line["what"] for line in lines] == ["firing", "acknowledged", "resolved", "reopened"]
    assert lines[1]["note"] == "on it"
    assert lines[1]["by"]
    require_fits(run_dcmon("alert", "history", "3"))


def test_impossible_action_on_an_alert_is_refused(run_dcmon: RunDcmon) -> None:
    """The error has the reason."""
    for arguments, code, sentence in (
        (("alert", "show", "99"), 5, "There is no alert 99"),
        (("alert", "history", "99"), 5, "There is no alert 99"),
        (("alert", "show", HUGE), 5, f"There is no id {HUGE}"),
        (("alert", "ack", "3000000000"), 5, "There is no id 3000000000"),
        (("silence", "delete", HUGE), 5, f"There is no id {HUGE}"),
        (("rule", "show", HUGE), 5, f"There is no rule '{HUGE}'"),
        (("quarantine", "show", HUGE), 5, ""),
        (("alert", "ack", "1"), 6, "is resolved"),
        (("alert", "reopen", "1"), 6, "not resolved by an operator"),
        (("alert", "list", "--state", "open"), 2, "firing, pending"),
        (("silence", "create", "credit", "--for", "1h"), 2, "not a matcher"),
        (("silence", "create", "model=credit"), 2, "--for 4h or --until"),
        (("silence", "delete", "9"), 5, "no silence 9"),
        (("silence", "create", "model=a", "--from", "2026-01-01", "--until", "2026-01-02"), 2, "over already"),
        (("monitor", "run", "Drift", "--from", "2026-11-10", "--to", "2026-11-01"), 2, "before it begins"),
        (("monitor", "backfill", "Drift", "--from", "2026-11-10", "--to", "2026-11-01"), 2, "before it begins"),
        (("mute", "delete", "nights"), 5, "no mute time 'nights'"),
        (("mute", "create", "n", "--hours", "22-6", "--tz", "Nowhere"), 2, "no time zone"),
        (("rule", "show", "nothing"), 5, "There is no rule 'nothing'"),
        (("rule", "set", "1"), 2, "Nothing to change"),
        (("rule", "set", "1", "--no-data", "fire"), 2, "keep, alert or ok"),
        (("rule", "create", "Drift", "> x"), 2, "not a condition"),
        (("rule", "create", "Drift", "> 1", "--name", "drift é"), 6, "already"),
        (("rule", "create", "Drift", "> 1 warn 0.5", "--severity", "low"), 2, "above low"),
        (("rule", "backtest", "nothing"), 5, "There is no rule"),
        (("rule", "delete", "1"), 2, "--yes"),
    ):
        done = run_dcmon(*arguments)
        assert (done.returncode, done.stdout) == (code, ""), (arguments, done.stdout, done.stderr)
        assert sentence in " ".join(done.stderr.split()), done.stderr


def test_silence_holds_an_alert_and_is_listed_until_ended(run_dcmon: RunDcmon) -> None:
    """A silence holds an alert and is listed until it ends."""
    created = read_json(
        run_dcmon, "silence", "create", "monitor=~Dr.*", "rule=drift é", "--for", "4h", "--reason", "a deploy"
    )
    assert created["alerts"] == [3]
    (held,) = read_json(run_dcmon, "alert", "list", "--state", "held")
    assert "a deploy" in held["held"]
    require_fits(run_dcmon("silence", "list"))
    assert [row["state"] for row in read_json(run_dcmon, "silence", "list")] == ["holds"]
    assert read_json(run_dcmon, "silence", "delete", str(created["id"]), "--yes")["state"] == "over"
    assert read_json(run_dcmon, "silence", "list") == []
    assert [row["state"] for row in read_json(run_dcmon, "silence", "list", "--all")] == ["over"]
    assert read_json(run_dcmon, "alert", "list", "--state", "held") == []


def test_mute_time_is_added_listed_and_deleted(run_dcmon: RunDcmon) -> None:
    added = read_json(
        run_dcmon, "mute", "create", "always", "--hours", "0-24", "--days", "mon-sun", "--match", "severity=high"
    )
    assert added["when"] == "daily 00:00-24:00 UTC"
    require_fits(run_dcmon("mute", "list"))
    assert [row["id"] for row in read_json(run_dcmon, "alert", "list", "--state", "held")] == [3]
    assert run_dcmon("mute", "delete", "always").returncode == 2
    assert read_json(run_dcmon, "mute", "delete", "always", "--dry-run") == {"dry_run": True, "deleted": "always"}
    assert len(read_json(run_dcmon, "mute", "list")) == 1
    assert read_json(run_dcmon, "mute", "delete", "always", "--yes") == {"deleted": "always"}
    assert read_json(run_dcmon, "mute", "list") == []


def test_rule_is_added_listed_shown_set_and_deleted(run_dcmon: RunDcmon) -> None:
    added = read_json(
        run_dcmon, "rule", "create", "credit/Drift", "any feature > 0.5 warn 0.3", "--severity", "critical",
        "--for", "2", "--keep-firing", "1", "--min-n", "50", "--no-data", "alert", "--error", "ok",
        "--name", "features",
    )  # fmt: skip
    assert added["condition"] == "any feature > 0.5 warn 0.3"
    assert (added["severity"], added["open"], added["alerts"]) == ("high..critical", 1, 1)
    require_fits(run_dcmon("rule", "list"))
    require_fits(run_dcmon("rule", "show", "features"))
    changed = read_json(run_dcmon, "rule", "set", "features", "--condition", "> 0.9", "--for", "1", "--yes")
    assert (changed["condition"], changed["open"], changed["severity"]) == ("> 0.9", 0, "critical")
    assert read_json(run_dcmon, "alert", "list", "--state", "resolved")[-1]["resolved_by"] == "rule"
    assert read_json(run_dcmon, "rule", "delete", "features", "--yes")["alerts"] == 1
    assert [row["name"] for row in read_json(run_dcmon, "rule", "list")] == ["drift é"]


@pytest.mark.parametrize("condition", ["f1 < 0.5", "feature aeg > 0.5", "metric age > 0.5", "f1 drop > 5%"])
def test_rule_on_a_value_that_no_window_has_is_refused(run_dcmon: RunDcmon, condition: str) -> None:
    """The message has the names that the check does have."""
    for arguments in (("add", "Drift"), ("set", "1", "--condition"), ("backtest", "Drift", "--rule")):
        done = run_dcmon("rule", *arguments, condition)
        assert done.returncode == 2
        assert "Its metrics are 'L3 Weighted Drift Score', and its features 'age', 'job'." in done.stderr
    assert len(read_json(run_dcmon, "rule", "list")) == 1


def test_rule_on_what_a_check_or_a_result_has_is_added(run_dcmon: RunDcmon) -> None:
    """Results of the monitor have the metric "score", which its check does not have now."""
    for condition in ("feature AGE > 0.5", "job > 0.9", "score > 0.8", "l3 weighted drift score > 0.5"):
        assert run_dcmon("rule", "create", "Drift", condition, "--no-noise").returncode == 0


def test_any_feature_of_a_check_without_features_is_refused(run_dcmon: RunDcmon) -> None:
    created = run_dcmon("monitor", "create", "Labels", "--model", "credit", "--check", "LabelDrift")
    assert created.returncode == 0, created.stderr
    done = run_dcmon("rule", "create", "credit/Labels", "any feature > 0.1")
    assert done.returncode == 2
    assert "'Labels' has no value for each feature. Its metrics are 'Label Drift Score'" in done.stderr


def test_backtest_counts_firings_and_writes_nothing(run_dcmon: RunDcmon) -> None:
    backtest = read_json(run_dcmon, "rule", "backtest", "drift é")
    counts = ("alerts", "alerts_of_one_window", "violated_windows", "windows")
    assert [backtest[name] for name in counts] == [3, 1, 5, 12]
    assert backtest["fires_at_the_end"] is True
    other_backtest = read_json(
        run_dcmon, "rule", "backtest", "credit/Drift", "--rule", "> 0.2", "--for", "2", "--since", f"{day(2).end}"
    )
    assert (other_backtest["alerts"], other_backtest["windows"], other_backtest["rule"]) == (1, 9, "> 0.2")
    from_third, until_tenth = ("--since", f"{day(2).end:%Y-%m-%d}"), ("--until", f"{day(9).end:%Y-%m-%d}")
    for period, windows in ((from_third, 9), (until_tenth, 10), ((*from_third, *until_tenth), 7)):
        assert read_json(run_dcmon, "rule", "backtest", "drift é", *period)["windows"] == windows
    nothing = run_dcmon("rule", "backtest", "drift é", "--since", "1h")
    assert "No result of these windows is stored: nothing was judged." in nothing.stderr
    quiet = read_json(run_dcmon, "rule", "backtest", "1", "--rule", "deviation > 3 over 5", "--severity", "low")
    assert quiet["without_verdict"] == 3
    require_fits(run_dcmon("rule", "backtest", "drift é"))
    assert read_json(run_dcmon, "rule", "show", "1")["condition"] == "> 0.2"
    assert len(read_json(run_dcmon, "alert", "list", "--all")) == 3


def test_rule_delete_dry_run_counts_and_deletes_nothing(run_dcmon: RunDcmon) -> None:
    goes = read_json(run_dcmon, "rule", "delete", "drift é", "--dry-run")
    assert goes == {"dry_run": True, "deleted": 1, "name": "drift é", "monitor": "credit/Drift", "alerts": 3, "open": 1}
    assert len(read_json(run_dcmon, "rule", "list")) == 1
    refused = run_dcmon("rule", "delete", "drift é")
    assert (refused.returncode, "3 alerts, 1 of them open" in refused.stderr) == (2, True)
    assert read_json(run_dcmon, "rule", "delete", "1", "--yes") == {key: goes[key] for key in goes if key != "dry_run"}
    assert read_json(run_dcmon, "rule", "list") == []


def test_warn_level_and_its_severity_are_parsed_from_the_rule(run_dcmon: RunDcmon) -> None:
    """The warn level and its severity are parsed from the rule text."""
    read_json(run_dcmon, "rule", "set", "1", "--condition", "> 0.45 warn 0.2", "--severity", "critical")
    assert read_json(run_dcmon, "rule", "set", "1", "--warn-severity", "low")["severity"] == "low..critical"
    for wrong in ("critical", "urgent"):
        assert run_dcmon("rule", "set", "1", "--warn-severity", wrong).returncode == 2
    both = run_dcmon("rule", "set", "1", "--warn-severity", "low", "--no-warn")
    assert both.returncode == 2
    one = read_json(run_dcmon, "rule", "set", "1", "--no-warn-severity")
    assert (one["condition"], one["severity"]) == ("> 0.45", "critical")
    none = run_dcmon("rule", "set", "1", "--warn-severity", "low")
    assert (none.returncode, "has no warning level" in none.stderr) == (2, True)
    assert run_dcmon("rule", "create", "credit/Drift", "> 0.3", "--warn-severity", "low").returncode == 2
    assert read_json(run_dcmon, "rule", "set", "1", "--no-warn")["condition"] == "> 0.45"


def test_rule_set_changes_all_options_and_clears_the_name(run_dcmon: RunDcmon) -> None:
    """`rule set` changes every option of a rule and removes its name."""
    values = {"--for": "2", "--keep-firing": "3", "--min-n": "4", "--no-data": "alert", "--error": "ok"}
    changed = read_json(
        run_dcmon,
        "rule",
        "set",
        "1",
        "--no-inhibit",
        "--name",
        "",
        *(argument for pair in values.items() for argument in pair),
    )
    shown = {name: changed[name] for name in ("for", "keep_firing", "min_n", "no_data", "error", "inhibit", "name")}
    assert shown == {
        "for": 2,
        "keep_firing": 3,
        "min_n": 4,
        "no_data": "alert",
        "error": "ok",
        "inhibit": False,
        "name": None,
    }
    assert read_json(run_dcmon, "rule", "set", "1", "--name", "again")["name"] == "again"
