"""The same done to several objects: all are looked up first, and what can't be done to some is exit 8."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from dcmon import db, errors
from dcmon.app import App
from dcmon.monitoring import monitors
from tests.helpers.command_line import dcmon
from tests.helpers.judged_results import create_rule, store_and_judge
from tests.integration.conftest import Target

Run = Callable[..., Any]
MISSING = [
    ("receiver", "pause", "team", "taem"), ("receiver", "resume", "team", "taem"),
    ("receiver", "rotate", "team", "taem", "--yes"), ("receiver", "test", "team", "taem", "--here"),
    ("source", "resume", "lake", "laek"), ("monitor", "set", "credit/Drift", "credit/Drfit", "--description", "x"),
    ("monitor", "backfill", "credit/Drift", "credit/Drfit", "--from", "2026-03-01"),
    ("rule", "set", "1", "99", "--severity", "low"),
]  # fmt: skip


def test_name_that_is_missing_changes_none_of_several(run: Run) -> None:
    before = json.loads(run("audit-log", "list", "-o", "json").stdout)
    for words in MISSING:
        refused = run(*words)
        assert (refused.returncode, refused.stdout) == (5, ""), refused.stderr
        assert "Nothing was changed." in refused.stderr
    assert json.loads(run("audit-log", "list", "-o", "json").stdout) == before


def test_several_get_the_same(run: Run) -> None:
    """Two names of one object are one."""
    assert run("monitor", "copy", "credit/Drift", "Shift").returncode == 0
    paused = json.loads(run("receiver", "pause", "team", "other", "team", "-o", "json").stdout)
    assert [(row["name"], row["state"]) for row in paused] == [("team", "paused"), ("other", "paused")]
    asked = run("receiver", "rotate", "team", "other")
    assert "Give 'team' and 'other' new signing secrets?" in asked.stderr
    resumed = json.loads(run("receiver", "resume", "team", "other", "-o", "json").stdout)
    assert [row["state"] for row in resumed] == ["active", "active"]
    described = run("monitor", "set", "credit/Drift", "Shift", "Drift", "--description", "both", "-o", "json")
    assert [row["name"] for row in json.loads(described.stdout)] == ["credit/Drift", "credit/Shift"]
    severe = json.loads(run("rule", "set", "1", "credit/Shift", "--severity", "low", "-o", "json").stdout)
    assert [row["severity"] for row in severe] == ["low", "low"]
    named = run("rule", "set", "1", "2", "--name", "x")
    assert (named.returncode, "--name: It gives one object a name, but 2 are named." in named.stderr) == (2, True)
    tried = run("monitor", "backfill", "Drift", "Shift", "--from", "2026-03-01", "--dry-run", "-o", "json")
    assert len(json.loads(tried.stdout)) == 2


def test_question_comes_before_what_only_some_can_do(run: Run) -> None:
    """The e-mail receiver has no secret. Without the question, a command said that it had changed the other one."""
    assert run("receiver", "create", "mail", "you@example.org", "--kind", "email", "--only-new").returncode == 0
    asked = run("receiver", "rotate", "team", "mail")
    assert (asked.returncode, "add --yes to confirm" in asked.stderr, "done" in asked.stderr) == (2, True, False)
    done = run("receiver", "rotate", "team", "mail", "--yes", "-o", "json")
    assert (done.returncode, [row["name"] for row in json.loads(done.stdout)]) == (8, ["team"])


def test_dead_letters_of_a_topic_and_of_all_organizations(run: Run, app: App, target: Target) -> None:
    with app.public() as session:
        row = "('dcmon.samples', gen_random_uuid(), 0, 4, :body, 'no valid JSON')"
        statement = f"insert into dead_letters (topic, topic_id, partition, at_offset, body, reason) values {row}"
        session.execute(text(statement), {"body": b'{"org": %d}' % target.org.id})
    listed = json.loads(run("dead-letter", "list", "--all-orgs", "-o", "json").stdout)
    assert [(row["org"], row["topic"]) for row in listed] == [("acme", "dcmon.samples")]
    for words in (("list",), ("delete", "--yes")):
        refused = run("dead-letter", *words, "--topic", "dcmon.sampels")
        assert (refused.returncode, "no topic 'dcmon.sampels'. Do you mean 'dcmon.samples'?" in refused.stderr) == (
            5,
            True,
        )
    assert run("dead-letter", "list", "--topic", "dcmon.labels").returncode == 0
    assert run("dead-letter", "delete", "--topic", "dcmon.samples", "--yes").returncode == 0
    assert run("dead-letter", "list", "--all-orgs", "-o", "csv").stdout.startswith("org,")


def test_run_of_a_mistyped_model_gets_the_nearest(target: Target) -> None:
    create_rule(target, "> 0.2")
    with db.org_session(target.engine, target.org) as session:
        for typed, meant in (("credt", "credit"), ("Drfit", "Drift"), ("credit/Drfit", "credit/Drift")):
            with pytest.raises(errors.MonitorNotFound, match=f"no monitor or model '{typed}'. Do you mean '{meant}'"):
                monitors.find_names(session, typed)


@pytest.fixture
def run(data_dir: Path, database_url: str, target: Target, tmp_path: Path) -> Run:
    """Return dcmon in an organization with two receivers, a rule, an alert and a source."""

    def run(*words: str) -> Any:
        return dcmon(*words, data_dir=data_dir, url=database_url)

    create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.5)
    for words in (
        ("receiver", "create", "other", "https://hooks.example.org/x", "--only-new"),
        ("source", "create", "lake", str(tmp_path), "--model", "credit", "--ignore-extra"),
    ):
        done = run(*words)
        assert done.returncode == 0, done.stderr
    return run
