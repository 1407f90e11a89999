"""`set` of mute times, silences and sources: what is not given stays, and a wrong name or value changes nothing."""

import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.command_line import dcmon
from tests.helpers.judged_results import create_rule, store_and_judge
from tests.integration.conftest import Target

Run = Callable[..., Any]


def test_mute_set_changes_only_what_is_given(run: Run) -> None:
    run("mute", "create", "nights", "--hours", "22-6", "--match", "model=credit", "--time-zone", "Europe/Berlin")
    changed = run("mute", "set", "nights", "--hours", "21:00-07:00", "--days", "mon-fri", "-o", "json")
    row = json.loads(changed.stdout)
    assert row["when"] == "mon,tue,wed,thu,fri 21:00-07:00 Europe/Berlin"
    assert row["matchers"] == ["model=credit"]
    everything = json.loads(run("mute", "set", "nights", "--match", "all", "-o", "json").stdout)
    assert (everything["matchers"], everything["when"]) == ([], row["when"])


def test_mute_set_of_a_name_that_is_missing_changes_none(run: Run) -> None:
    run("mute", "create", "nights", "--hours", "22-6")
    refused = run("mute", "set", "nights", "night", "--days", "sat")
    assert (refused.returncode, refused.stdout) == (5, "")
    assert "There is no mute time 'night'. Do you mean 'nights'?" in refused.stderr
    assert "Nothing was changed." in refused.stderr
    assert json.loads(run("mute", "show", "nights", "-o", "json").stdout)["when"] == "daily 22:00-06:00 UTC"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ((), 'Nothing to change: give an option that "dcmon mute set --help" lists.'),
        (("--hours", "25-3"), "a day has 24 hours"),
        (("--days", "mno"), "Days look like"),
        (("--match", "model=credt"), "Change the mute time all the same?"),
    ],
    ids=["nothing", "hours", "days", "matcher"],
)
def test_mute_set_refuses_what_it_can_not_use(run: Run, typed: tuple[str, ...], expected: str) -> None:
    run("mute", "create", "nights", "--hours", "22-6")
    refused = run("mute", "set", "nights", *typed)
    assert (refused.returncode, expected in refused.stderr) == (2, True), refused.stderr


def test_silence_set_extends_it_and_keeps_the_rest(run: Run) -> None:
    run("silence", "create", "model=credit", "--for", "1h", "--reason", "backfill", "--by", "ann")
    before = json.loads(run("silence", "show", "1", "-o", "json").stdout)
    tried = json.loads(run("silence", "set", "1", "--for", "9h", "--dry-run", "-o", "json").stdout)
    assert tried["effects"] == {"silences": {"changed": 1}}
    after = json.loads(run("silence", "set", "1", "--for", "9h", "-o", "json").stdout)
    assert {key: after[key] for key in ("id", "matchers", "from", "by", "reason")} == {
        key: before[key] for key in ("id", "matchers", "from", "by", "reason")
    }
    longer = datetime.fromisoformat(after["until"]) - datetime.fromisoformat(before["until"])
    assert timedelta(hours=7) < longer
    others = run("silence", "set", "1", "--match", "monitor=credit/Drift", "--reason", "", "-o", "json")
    row = json.loads(others.stdout)
    assert (row["matchers"], row["reason"], row["until"]) == (["monitor=credit/Drift"], "", after["until"])
    assert row["alerts"] == [1]


def test_silence_that_is_over_can_not_be_set(run: Run) -> None:
    """What it held back was sent; with another that holds, only that one is changed."""
    run("silence", "create", "model=credit", "--for", "1h")
    run("silence", "create", "model=credit", "--for", "1h")
    assert run("silence", "delete", "1", "--yes").returncode == 0
    refused = run("silence", "set", "1", "--for", "1h")
    assert (refused.returncode, "Silence 1 is over since" in refused.stderr) == (6, True)
    partly = run("silence", "set", "1", "2", "--reason", "deploy", "-o", "json")
    assert (partly.returncode, [row["id"] for row in json.loads(partly.stdout)]) == (8, [2])


def test_silence_delete_asks_only_while_it_is_not_over(run: Run) -> None:
    run("silence", "create", "model=credit", "--for", "1h")
    asked = run("silence", "delete", "1")
    assert (asked.returncode, "End silence 1 for good" in asked.stderr, "--yes" in asked.stderr) == (2, True, True)
    tried = run("silence", "delete", "1", "--dry-run")
    assert "Dry run: this would end 1 silence. Nothing was changed." in tried.stderr
    assert run("silence", "delete", "1", "--yes").returncode == 0
    assert run("silence", "delete", "1").returncode == 0


@pytest.fixture
def run(data_dir: Path, database_url: str, target: Target) -> Run:
    create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.5)
    return lambda *arguments: dcmon(*arguments, data_dir=data_dir, url=database_url)


@pytest.fixture
def lake(run: Run, tmp_path: Path) -> Path:
    """Return the directory of source lake, which has options of each kind."""
    directory = tmp_path / "lake"
    directory.mkdir()
    options = ("--model", "credit", "--map", "who=_dc_sample_id", "--set", "job=j1", "--decimal", ",", "--null", "NA")
    done = run("source", "create", "lake", str(directory), *options)
    assert done.returncode == 0, done.stderr
    return directory


def test_source_set_changes_only_what_is_given(run: Run, lake: Path) -> None:
    typed = ("--map", "when=_dc_time", "--delimiter", ";", "--reset", "decimal", "--reset", "set")
    changed = json.loads(run("source", "set", "lake", *typed, "-o", "json").stdout)
    assert changed["mapping"] == {"who": "_dc_sample_id", "when": "_dc_time"}
    assert changed["dialect"] == {"delimiter": ";", "null": ["NA"]}
    assert (changed["constants"], changed["version"], changed["url"]) == (None, "v1", str(lake))
    elsewhere = json.loads(run("source", "set", "lake", f"{lake}/*.csv", "--reset", "map", "-o", "json").stdout)
    assert (elsewhere["url"], elsewhere["mapping"]) == (f"{lake}/*.csv", None)
    assert elsewhere["dialect"] == changed["dialect"]


def test_source_set_says_how_to_try_failed_files_again(run: Run, lake: Path) -> None:
    """Its columns are those of the next scan: a file that could not be read can be, with --retry."""
    (lake / "may.csv").write_text("who;when;age;_dc_prediction\na;2026-05-01;30;1\n")
    os.utime(lake / "may.csv", (1e9, 1e9))  # a scan waits while a file may still be written
    assert run("source", "scan", "lake").returncode == 8
    changed = run("source", "set", "lake", "--map", "when=_dc_time", "--delimiter", ";")
    assert '1 file could not be read before: "dcmon source scan lake --retry" tries again.' in changed.stderr
    scanned = run("source", "scan", "lake", "--retry", "-o", "json")
    assert (scanned.returncode, json.loads(scanned.stdout)[0]["stored"]) == (0, 1), scanned.stderr


@pytest.mark.parametrize(
    ("typed", "code", "expected"),
    [
        ((), 2, "Nothing to change"),
        (("--model", "credit"), 2, "can't change: the rows that it loaded belong to them."),
        (("--labels",), 2, "can't change: the rows that it loaded belong to them."),
        (("--map", "x=agee"), 2, "age"),
        (("--version", "v9"), 5, "There is no version 'v9'"),
        (("--thousands", ","), 2, "choose another mark"),
        (("{lake}/none",), 5, "none"),
        (("--reset", "delimeter"), 2, "Do you mean 'delimiter'?"),
    ],
)
def test_source_set_refuses_what_it_can_not_use(
    run: Run, lake: Path, typed: tuple[str, ...], code: int, expected: str
) -> None:
    refused = run("source", "set", "lake", *(word.format(lake=lake) for word in typed))
    assert (refused.returncode, expected in refused.stderr) == (code, True), refused.stderr


def test_org_set_changes_all_that_is_given_of_each(run: Run) -> None:
    """A dry run and a limit that can't be change nothing, also where another organization is named first."""
    run("org", "create", "beta")
    keys = ("max_models", "samples_kept", "default_monitors")
    before = shown_organizations(run, *keys)
    wanted = ("org", "set", "acme", "beta", "--max-models", "7", "--samples", "90d", "--defaults", "sdk", "-o", "json")
    tried = run(*wanted, "--dry-run")
    assert [row["dry_run"] for row in json.loads(tried.stdout)] == [True, True]
    for part in ("set max_models of 'acme' to 7", "keep samples of 'beta' for 90d", "the default monitors 'sdk'"):
        assert part in tried.stderr
    refused = run("org", "set", "acme", "beta", "--defaults", "none", "--max-models", "0")
    assert (refused.returncode, shown_organizations(run, *keys)) == (2, before)

    done = json.loads(run(*wanted).stdout)

    assert [tuple(row[key] for key in ("name", *keys)) for row in done] == [
        ("acme", 7, "90d", "sdk"), ("beta", 7, "90d", "sdk"),
    ]  # fmt: skip
    assert shown_organizations(run, *keys) == [(7, "90d", "sdk")] * 2
    nothing = run("org", "set", "acme")
    assert (nothing.returncode, "Nothing to set" in nothing.stderr) == (2, True)


def shown_organizations(run: Run, *keys: str) -> list[tuple[Any, ...]]:
    rows = json.loads(run("org", "show", "acme", "beta", "-o", "json").stdout)
    return [tuple(row[key] for key in keys) for row in rows]
