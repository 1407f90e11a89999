"""`rule create` and `rule backtest` print what a rule does when nothing changes."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from dcmon.app import App
from tests.helpers.command_line import dcmon
from tests.helpers.evaluation import log_day, monitor_drift_of_age
from tests.integration.conftest import Target

RunDcmon = Callable[..., "CompletedProcess[str]"]
MONITOR = "credit/Age"


@pytest.fixture
def run_dcmon(app: App, data_dir: Path, database_url: str, target: Target) -> RunDcmon:
    """Return dcmon at 80 columns on a model with a reference and four days of rows."""
    monitor_drift_of_age(app, target)
    for number in range(4):
        log_day(app, target, number)

    def run(*arguments: str, columns: str = "80") -> "CompletedProcess[str]":
        return dcmon(*arguments, data_dir=data_dir, url=database_url, COLUMNS=columns)

    return run


def read_json(done: "CompletedProcess[str]") -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    data: dict[str, Any] = json.loads(done.stdout)
    return data


@pytest.mark.parametrize("columns", ["80", "200"])
def test_rule_add_says_what_the_rule_does_on_noise(run_dcmon: RunDcmon, columns: str) -> None:
    done = run_dcmon("rule", "create", MONITOR, "> 0.3", columns=columns)
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert "On noise, if nothing changes No violated window: fewer than 0.0" in shown
    assert "of 300 rows and 1 feature, drawn from the 300 reference rows of version v1." in shown
    assert max(len(line) for line in done.stdout.splitlines()) <= int(columns)
    assert "although nothing changes" not in done.stderr


def test_noisy_rule_is_added_with_a_warning_and_what_to_type(run_dcmon: RunDcmon) -> None:
    """The proposed commands work, and the rule is quiet after them."""
    done = run_dcmon("-o", "json", "rule", "create", MONITOR, "> 0.08")
    noise = read_json(done)["noise"]
    assert noise["alerts_per_30_days"] > 1
    assert noise["interval"][0] <= noise["alerts_per_30_days"] <= noise["interval"][1]
    assert "The rule would alert about" in done.stderr
    assert "dcmon rule set 2 --condition" in done.stderr
    proposed = noise["proposals"][0]["condition"]
    assert run_dcmon("rule", "set", "2", "--condition", proposed).returncode == 0
    quiet = read_json(run_dcmon("-o", "json", "rule", "backtest", "2"))["noise"]
    assert (quiet["is_too_much"], quiet["proposals"]) == (False, [])


def test_no_noise_leaves_it_out(run_dcmon: RunDcmon) -> None:
    assert "noise" not in read_json(run_dcmon("-o", "json", "rule", "create", MONITOR, "> 0.08", "--no-noise"))
    backtest = run_dcmon("-o", "json", "rule", "backtest", MONITOR, "--rule", "> 0.08", "--no-noise")
    assert "noise" not in read_json(backtest)
    assert "nothing changes" not in backtest.stderr


def test_backtest_proposes_its_own_options(run_dcmon: RunDcmon) -> None:
    done = run_dcmon("rule", "backtest", MONITOR, "--rule", "> 0.08")
    assert done.returncode == 0
    assert 'Better: --rule "> 0.1' in done.stderr


def test_rule_without_noise_is_added_with_the_reason(run_dcmon: RunDcmon) -> None:
    created = run_dcmon("monitor", "create", "Rows", "--model", "credit", "--check", "DataFlow", "--metric", "rows")
    assert created.returncode == 0, created.stderr
    done = run_dcmon("-o", "json", "rule", "create", "credit/Rows", "rows < 10")
    reason = read_json(done)["noise"]["reason"]
    assert "counts arriving rows" in reason
    shown = run_dcmon("rule", "create", "credit/Rows", "rows < 20")
    assert "Unknown: The monitor counts arriving rows" in " ".join(shown.stdout.split())
