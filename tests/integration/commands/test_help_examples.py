"""Every example of every command's `--help` does what it says, in a world with the names of the examples."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from dcmon.commands.shared import help_texts, list_fields
from tests.conftest import copied_database
from tests.helpers import old_system
from tests.helpers.command_tree import leaves
from tests.helpers.example_world import World, run_all
from tests.helpers.http_receiver import http_receiver
from tests.helpers.paths import ROOT
from tests.helpers.ports import free_port
from tests.helpers.waiting import eventually

EXAMPLES = {example: name for name, command in leaves().items() for example in help_texts.EXAMPLE.findall(command.help)}
# What is typed before the example of a command, in the copy of the world that it gets.
BEFORE = {
    "adopt": ["org delete acme --yes"],  # the name of the old organization
    "alert reopen": ["alert resolve 1 2 --yes"],
    "backup restore": ["backup create dcmon-backup.tar.gz --without-secrets"],  # then the database is another one
    "backup verify": ["backup create dcmon-backup.tar.gz --without-secrets"],
    "invitation show": ["member delete ann@acme.org --yes", "member invite ann@acme.org"],
    "invitation delete": ["member delete ann@acme.org --yes", "member invite ann@acme.org"],
    "member create": ["member delete ann@acme.org --yes"],
    "member invite": ["member delete ann@acme.org --yes"],
    "model create": ["model delete credit --yes"],
    "model set-path": ["source set-keys --from keys.ini --region eu-central-1"],
    "mute create": ["mute delete nights --yes"],
    "org create": ["org delete acme --yes"],
    "org import": ["org export acme acme.tar.gz --without-secrets"],
    "source create": ["source delete lake --yes"],
    "source delete-keys": ["source set-keys --from keys.ini --region eu-central-1"],
    "wait": ["model delete credit --yes"],  # the only one with windows that are due
    "receiver create": ["receiver delete team --yes"],
}
# Exit codes that say what the world is like: a check that dcmon lacks, too few rows in a window, rows that conflict.
EXIT_CODES = {"adopt": 8, "monitor run": 8, "quarantine retry": 8}
# Commands that run until they are ended, and what they print when they are ready.
ENDLESS = {"serve": "listens at", "status": "heartbeat", "worker start": "started"}
NEED_KAFKA = ("ingest lag", "ingest seek")
# What can't be done in a world beside others, and the test that does it.
ELSEWHERE = {
    "demo": "tests/acceptance/test_demo.py",  # installs a classifier and replays a year
    "up": "tests/acceptance/test_up.py",  # starts servers of its own
}
# Those that have a test of their own here.
APART = {*ELSEWHERE, "backup restore", "migrate revision", "receiver test"}
OLD_DATABASE, PORT = "postgresql://reader@old.example/deepchecks", "8080"


def examples(name: str) -> list[str]:
    return [example for example, command in EXAMPLES.items() if command == name]


def failure(world: World, name: str, example: str, settings: Mapping[str, str]) -> str | None:
    """Run an example as it is typed, and with --yes if it asks; return what was wrong."""
    typed = example.removeprefix("dcmon ")
    if name in ENDLESS:
        with world.started(typed, ENDLESS[name], **settings) as process:
            pass
        code, shown = process.returncode, ""
        expected = (0, 130)
    else:
        done = world(typed, **settings)
        if done.returncode == 2 and "add --yes to confirm" in done.stderr:
            done = world(f"{typed} --yes", **settings)
        expected = (0 if "--allow-no-verdict" in typed else EXIT_CODES.get(name, 0),)
        code, shown = done.returncode, done.stdout + done.stderr
    return None if code in expected else f"{example}: exit {code}\n{shown}"


@pytest.mark.parametrize("part", [0, 1])  # so that two processes share the work
def test_examples_of_help_do_what_they_say(
    world: World, server_url: str, empty_url: str, broker_address: str, tmp_path: Path, part: int
) -> None:
    """Each gets a copy of the world, so that none depends on another."""
    template, failures = make_url(world.url).database or "", list[str | None]()
    old_system.create(empty_url)
    kafka = {"DCMON_KAFKA__BOOTSTRAP_SERVERS": broker_address, "DCMON_KAFKA__TOPIC_PREFIX": f"examples-{free_port()}"}
    for number, (example, name) in enumerate(EXAMPLES.items()):
        if number % 2 == part and name not in APART:
            typed = example.replace(OLD_DATABASE, empty_url).replace(PORT, str(free_port()))
            with copied_database(server_url, template) as url:
                own = world.copy(url, tmp_path / str(number))
                run_all(own, BEFORE.get(name, []))
                failures.append(failure(own, name, typed, kafka if name in NEED_KAFKA else {}))
    assert not any(failures), "\n".join(filter(None, failures))


def test_example_of_a_restore_fills_an_empty_database(
    world: World, server_url: str, template: str, tmp_path: Path
) -> None:
    own = world.copy(world.url, tmp_path / "files")
    run_all(own, BEFORE["backup restore"])
    with copied_database(server_url, template) as url:
        (example,) = examples("backup restore")
        typed, empty = f"{example.removeprefix('dcmon ')} -o json", World(own.files, url, own.settings)
        expected = json.loads(empty(f"{typed} --dry-run").stdout)
        assert expected.pop("dry_run") is True
        assert json.loads(empty(typed).stdout) == expected


def test_example_of_a_test_message_reaches_the_receiver(world: World, server_url: str, tmp_path: Path) -> None:
    """It is sent by a notify worker that runs, with the settings of that worker."""
    settings = {"DCMON_WEBHOOKS__ALLOW": "127.0.0.1"}
    with ExitStack() as stack:
        receiver = stack.enter_context(http_receiver())
        url = stack.enter_context(copied_database(server_url, make_url(world.url).database or ""))
        own = world.copy(url, tmp_path / "files")
        run_all(own, ["receiver delete team --yes"])
        assert own(f"receiver create team {receiver.url} --only-new", **settings).returncode == 0
        stack.enter_context(own.started("worker start notify", "started", **settings))
        (example,) = examples("receiver test")
        typed = example.removeprefix("dcmon ")
        assert eventually(lambda: own(typed, **settings).returncode == 0)  # the worker has sent its first heartbeat
        assert len(receiver.requests) == 1


def test_example_of_a_revision_writes_it(world: World, tmp_path: Path) -> None:
    """It is typed in a copy of the repository, in which it writes."""
    for directory in ("dcmon", "migrations"):
        shutil.copytree(ROOT / directory, tmp_path / directory, ignore=shutil.ignore_patterns("__pycache__"))
    before = set((tmp_path / "migrations" / "org").glob("*.py"))
    environment = {**os.environ, "DCMON_DATABASE_URL": world.url, "PYTHONDONTWRITEBYTECODE": "1"}
    (example,) = examples("migrate revision")
    command = shlex.split(example)[1:]
    done = subprocess.run(
        [sys.executable, "-m", "dcmon", *command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (written,) = set((tmp_path / "migrations" / "org").glob("*.py")) - before
    assert written.name.endswith("_add_silences.py")


# Lists that need words beside their name here.
LISTS_OF_ONE = {
    "alert list": "alert list --all",
    "alert history": "alert history 1",
    "monitor history": "monitor history 'credit/Prediction Drift'",
}


def test_fields_of_lists_are_those_of_their_data(world: World) -> None:
    """Completion and the heads of empty lists have them. One that is empty here is not compared."""
    compared = list[str]()
    for name, fields in list_fields.FIELDS.items():
        words = LISTS_OF_ONE.get(name, name)
        done = world(f"-o json {words}")
        assert done.returncode == 0, done.stderr
        if rows := json.loads(done.stdout):
            assert (name, list(rows[0])) == (name, fields.split())
            compared.append(name)
    assert len(compared) >= len(list_fields.FIELDS) - 3


@pytest.mark.parametrize(("name", "path"), ELSEWHERE.items())
def test_example_that_is_run_elsewhere_is_run_there(name: str, path: str) -> None:
    assert re.search(rf"""["']{name}["']""", (ROOT / path).read_text(encoding="utf-8"))
