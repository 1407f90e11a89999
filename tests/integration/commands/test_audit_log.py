"""Command line of `dcmon audit-log`, `dcmon org set` and the entries that commands leave."""

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcmon.app import App
from dcmon.authors import operator_name
from dcmon.jobs.schedule import RecordedJob
from dcmon.tenancy import audit_log, organizations
from dcmon.tenancy.audit_log import EntryFilter
from tests.helpers.command_line import dcmon
from tests.integration.conftest import Target

RunDcmon = Callable[..., "subprocess.CompletedProcess[str]"]
RULE = ("rule", "create", "credit/Nulls", "> 0.5")
# Each command, and the kind and action of an entry that it leaves.
COMMANDS: list[tuple[tuple[str, ...], tuple[str, str]]] = [
    (("model", "create", "other", "--task", "regression", "--no-defaults"), ("model", "create")),
    (("model", "set", "credit", "--label-delay", "5d"), ("model", "change")),
    (("monitor", "create", "Nulls", "--model", "credit", "--check", "PercentOfNulls"), ("monitor", "create")),
    (("monitor", "set", "credit/Nulls", "--lookback", "3d"), ("monitor", "change")),
    (RULE, ("rule", "create")),
    (("receiver", "create", "team", "http://127.0.0.1:1/x"), ("receiver", "create")),
    (("receiver", "rotate", "team", "--yes"), ("receiver", "change")),
    (("receiver", "pause", "team"), ("receiver", "change")),
    (("notification", "retry", "--all-dead"), ("notification", "retry")),
    (("silence", "create", "model=credit", "--for", "4h", "--reason", "a test"), ("silence", "create")),
    (("mute", "create", "nights", "--hours", "22:00-06:00"), ("mute time", "create")),
    (("mute", "delete", "nights", "--yes"), ("mute time", "delete")),
    (("token", "create", "scoring"), ("token", "create")),
    (("org", "set-retention", "acme", "--samples", "90d"), ("organization", "change")),
    (("org", "set-limits", "acme", "--max-models", "7"), ("organization", "change")),
    (("org", "set-defaults", "acme", "sdk"), ("organization", "change")),
    (("receiver", "delete", "team", "--yes"), ("receiver", "delete")),
]


@pytest.fixture
def run_dcmon(data_dir: Path, database_url: str, target: Target) -> RunDcmon:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return dcmon(*arguments, data_dir=data_dir, url=database_url, DCMON_WEBHOOKS__ALLOW="127.0.0.1")

    return run


def new_entries(app: App, target: Target, since: set[str]) -> list[dict[str, Any]]:
    entries = audit_log.entries(app.engine, target.org, EntryFilter(), limit=1000).entries
    return [entry for entry in entries if entry["id"] not in since]


def test_each_command_leaves_an_entry_of_its_user(run_dcmon: RunDcmon, app: App, target: Target) -> None:
    known = {entry["id"] for entry in new_entries(app, target, set())}
    for arguments, left in COMMANDS:
        done = run_dcmon(*arguments)
        assert done.returncode == 0, (arguments, done.stderr)
        entries = new_entries(app, target, known)
        assert left[0] in audit_log.kinds()
        assert left in [(entry["kind"], entry["action"]) for entry in entries], arguments
        authors = {(entry["author"], entry["via"], entry["address"], entry["token"]) for entry in entries}
        assert authors == {(operator_name(), "cli", socket.gethostname(), None)}
        known |= {entry["id"] for entry in entries}


def test_list_shows_who_changed_what(run_dcmon: RunDcmon, target: Target) -> None:
    run_dcmon("model", "set", "credit", "--label-delay", "5d")
    run_dcmon("receiver", "create", "team", "https://hooks.example.org/s3cret")
    table = run_dcmon("audit-log", "list", "--kind", "model", "--who", operator_name())
    assert table.returncode == 0
    assert "label_delay: 3 days → 5 days" in " ".join(table.stdout.split())
    listed = json.loads(run_dcmon("audit-log", "list", "--kind", "receiver", "-o", "json").stdout)
    assert [(entry["name"], entry["after"]["url"]) for entry in listed] == [("team", "https://hooks.example.org/…")]
    newest = run_dcmon("audit-log", "list", "--limit", "1", "-o", "json")
    assert (len(json.loads(newest.stdout)), "--limit 2" in newest.stderr) == (1, True)
    assert "No change is recorded" in run_dcmon("audit-log", "list", "--since", "2100-01-01").stderr
    assert "No change is recorded" in run_dcmon("audit-log", "list", "--until", "2000-01-01").stderr
    assert run_dcmon("audit-log", "list", "--object", "team", "-o", "json").stdout.count('"kind": "receiver"') == 1


@pytest.mark.parametrize("kind", ["zz", "Monitorr", ""])
def test_list_of_an_unknown_kind_is_refused(run_dcmon: RunDcmon, kind: str) -> None:
    """An empty list would say that nothing was changed."""
    refused = run_dcmon("audit-log", "list", "--kind", kind)
    assert (refused.returncode, "monitor, mute time, note" in refused.stderr) == (2, True)


def test_list_tells_a_value_from_no_value(run_dcmon: RunDcmon, target: Target) -> None:
    run_dcmon("model", "set-defaults", "none", "credit")
    table = run_dcmon("audit-log", "list", "--kind", "model", "--limit", "1")
    assert "default_monitors: – → none" in " ".join(table.stdout.split())


def test_creation_above_a_limit_exits_with_6(run_dcmon: RunDcmon, target: Target) -> None:
    shown = run_dcmon("org", "set-limits", "acme", "--max-models", "1", "--samples-per-minute", "9", "-o", "json")
    assert json.loads(shown.stdout)["max_models"] == 1
    refused = run_dcmon("model", "create", "second", "--task", "binary", "--version", "v1", "--feature", "age:numeric")
    assert (refused.returncode, "may have 1 models" in refused.stderr) == (6, True)
    shown = run_dcmon("org", "show", "acme", "-o", "json")
    assert {key: json.loads(shown.stdout)[key] for key in ("models", "max_models", "samples_per_minute")} == {
        "models": ["credit"], "max_models": 1, "samples_per_minute": 9,
    }  # fmt: skip
    assert run_dcmon("org", "set-limits", "acme", "--max-models", "many").returncode == 2


def test_job_of_the_scheduler_is_the_author_of_its_changes(app: App, target: Target) -> None:
    def change() -> None:
        with app.public() as session:
            organizations.set_default_monitors(session, target.org, organizations.DefaultSet.NONE)

    RecordedJob(app, "a job", change, 0)()
    (entry,) = [entry for entry in new_entries(app, target, set()) if entry["action"] == "change"][:1]
    assert (entry["author"], entry["via"], entry["address"]) == ("dcmon", "job a job", socket.gethostname())


def test_change_is_shown_with_its_values(run_dcmon: RunDcmon) -> None:
    """The ids are those of the list, also of members and tokens, which are logged in another schema."""
    assert run_dcmon("org", "set-limits", "acme", "--max-models", "7").returncode == 0
    assert run_dcmon("mute", "create", "nights", "--hours", "22-6").returncode == 0
    listed = json.loads(run_dcmon("audit-log", "list", "-o", "json").stdout)[:2]
    assert {entry["id"].startswith("p") for entry in listed} == {True, False}
    ids = run_dcmon("audit-log", "list", "-o", "name").stdout.split()[:2]
    assert json.loads(run_dcmon("audit-log", "show", *ids, "-o", "json").stdout) == listed
    assert (
        "22:00" in run_dcmon("audit-log", "show", *ids).stdout or "1320" in run_dcmon("audit-log", "show", *ids).stdout
    )
    for wrong in ("p0", "x", "9" * 30):
        refused = run_dcmon("audit-log", "show", wrong)
        assert (refused.returncode, f"There is no change '{wrong}'." in refused.stderr) == (5, True)
