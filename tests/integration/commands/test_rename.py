"""`rename` of each noun: what has a name keeps all else, and nobody takes back what another one did."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dcmon import errors
from dcmon.app import App
from dcmon.commands.operations import monitor, mute, receiver, source, token
from dcmon.storage import models
from tests.helpers.command_line import dcmon
from tests.helpers.judged_results import create_rule, store_and_judge
from tests.helpers.waiting import eventually, is_waiting_for_a_lock
from tests.integration.conftest import Target

Run = Callable[..., Any]
# The noun, the name of an object, how another one is created, and the id or name that stays.
NOUNS = [
    ("receiver", "team", ("other", "https://hooks.example.org/y")),
    ("mute", "nights", ("other", "--hours", "1-2")),
    ("source", "lake", ("other", "{files}", "--model", "credit", "--ignore-extra")),
    ("token", "ci", ("other",)),
    ("monitor", "credit/Drift", ("other", "--model", "credit", "--check", "FeatureDrift")),
]


@pytest.mark.parametrize(("noun", "name", "other"), NOUNS, ids=[noun for noun, _, _ in NOUNS])
def test_rename_tries_refuses_a_taken_name_and_is_logged(
    run: Run, tmp_path: Path, noun: str, name: str, other: tuple[str, ...]
) -> None:
    tried = run(noun, "rename", name, "new one", "--dry-run")
    assert (tried.returncode, "this would change 1" in tried.stderr) == (0, True), tried.stderr
    assert run(noun, "create", *(word.format(files=tmp_path) for word in other)).returncode == 0
    refused = run(noun, "rename", name, "other")
    assert (refused.returncode, "other" in refused.stderr) == (6, True), refused.stderr
    assert run(noun, "rename", name, "").returncode == 2
    renamed = json.loads(run(noun, "rename", name, "new one", "-o", "json").stdout)
    assert (renamed["name"].rpartition("/")[2], renamed["old_name"]) == ("new one", name)
    assert run(noun, "show", name).returncode == 5
    assert run(noun, "show", "new one").returncode == 0
    [entry, *_] = json.loads(run("audit-log", "list", "-o", "json").stdout)
    assert (entry["before"]["name"], entry["after"]["name"]) == (name.rpartition("/")[2], "new one")


RENAMES = {
    "receiver": (receiver.rename, "update webhooks set name = 'first'", errors.ReceiverNotFound),
    "mute": (mute.rename, "update mute_times set name = 'first'", errors.MuteTimeNotFound),
    "source": (source.rename, "update sources set name = 'first'", errors.SourceNotFound),
    "token": (token.rename, "update public.tokens set name = 'first' where name = 'ci'", errors.TokenNotFound),
}


@pytest.mark.parametrize(("noun", "name"), [(noun, name) for noun, name, _ in NOUNS if noun in RENAMES])
def test_second_of_two_renames_finds_no_such_name(run: Run, app: App, target: Target, noun: str, name: str) -> None:
    rename, statement, error = RENAMES[noun]
    with ThreadPoolExecutor(1) as pool:
        with app.public() as session, session.connection() as connection:
            connection.exec_driver_sql(f"set local search_path to {target.org.schema}")
            connection.exec_driver_sql(statement)
            renamed = pool.submit(rename, app, name, "second")
            assert eventually(lambda: is_waiting_for_a_lock(app.engine))
            session.commit()
        with pytest.raises(error):
            renamed.result()


def test_second_rename_of_a_monitor_finds_no_such_name(run: Run, app: App, target: Target) -> None:
    with ThreadPoolExecutor(1) as pool:
        with app.org(target.org) as session:
            found = monitor.monitors.find(session, "Drift")
            monitor.monitors.require_free_name(session, models.get(session, target.model_id), "first")
            found.name = "first"
            session.flush()
            renamed = pool.submit(monitor.rename, app, "credit/Drift", "second")
            assert eventually(lambda: is_waiting_for_a_lock(app.engine))
        with pytest.raises(errors.MonitorNotFound):
            renamed.result()


@pytest.mark.parametrize(
    ("words", "also"),
    [
        (("monitor", "rename", "credit/Drift", "Shift"), ["silence 1", "mute time 'nights'"]),
        (("monitor", "set", "credit/Drift", "--name", "Shift"), ["silence 1", "mute time 'nights'"]),
        (("model", "rename", "credit", "retail"), ["silence 2", "mute time 'nights'"]),
    ],
    ids=["monitor", "set", "model"],
)
def test_rename_names_what_still_matches_the_old_name(run: Run, words: tuple[str, ...], also: list[str]) -> None:
    """A silence that is over, or that matches the new name too, needs no change."""
    for matcher in ("monitor=Drift", "model=credit", "monitor=~.*", "severity!=low"):
        assert run("silence", "create", matcher, "--for", "4h").returncode == 0
    assert run("silence", "create", "monitor=Drift", "model=credit", "--for", "4h").returncode == 0
    assert run("silence", "delete", "5", "--yes").returncode == 0
    assert run("mute", "set", "nights", "--match", "monitor=credit/Drift").returncode == 0
    done = run(*words, "-o", "json")
    assert json.loads(done.stdout)["old_name_in"] == also
    assert " and ".join(also) in done.stderr.replace("Silence", "silence")
    assert "--match" in done.stderr


@pytest.fixture
def run(data_dir: Path, database_url: str, target: Target, tmp_path: Path) -> Run:
    """Return dcmon in an organization that has an object of each noun with a name; the rule has a receiver, team."""

    def run(*words: str) -> Any:
        return dcmon(*words, data_dir=data_dir, url=database_url)

    create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.5)
    for words in (
        ("mute", "create", "nights", "--hours", "22-6"),
        ("source", "create", "lake", str(tmp_path), "--model", "credit", "--ignore-extra"),
        ("token", "create", "ci"),
    ):
        done = run(*words)
        assert done.returncode == 0, done.stderr
    return run
