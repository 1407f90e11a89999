"""One grammar: what holds for every command, found by walking all of them."""

from typing import Any

import pytest

from tests.helpers.command_tree import leaves, options

LEAVES = leaves()
READING = {
    "list",
    "show",
    "show-keys",
    "history",
    "status",
    "check",
    "roles",
    "lag",
    "test",
    "backtest",
    "audit",
    "wait",
    "doctor",
    "logs",
    "validate",
    "export",
    "plan",
    "verify",
}
# Commands that change something and have no --dry-run, with the reason.
WITHOUT_DRY_RUN = {
    "backup create": "writes one new file, and only reads the database",
    "backup restore": "fills an empty database; backup verify checks the file",
    "debug bundle": "writes one new file, and only reads the database",
    "org export": "writes one new file, and only reads the database",
    "demo": "runs a system of its own, in a directory of its own",
    "migrate revision": "writes one new file, for developers of dcmon",
    "profile use": "changes one line of a file of settings; the same command changes it back",
    "secret-key create": "prints a key; nothing is stored",
    "serve": "a process that serves until it is stopped",
    "up": "starts processes, which dcmon down stops",
    "worker start": "a process that works until it is stopped",
}


def test_every_changing_command_has_a_dry_run() -> None:
    """A command whose last word is not a reading verb changes something."""
    missing = [
        name
        for name, command in LEAVES.items()
        if name.split()[-1] not in READING and name not in WITHOUT_DRY_RUN and "--dry-run" not in options(command)
    ]
    assert missing == [], (
        "Put @changing of dcmon/commands/shared/changes.py below @app.command (or @asking(question) if it can't be"
        " undone). If nothing can be tried, add the command to WITHOUT_DRY_RUN with the reason; if it only reads,"
        " its verb to READING."
    )


def test_every_command_without_a_dry_run_needs_its_reason() -> None:
    assert {name for name in WITHOUT_DRY_RUN if name not in LEAVES or "--dry-run" in options(LEAVES[name])} == set()


@pytest.mark.parametrize(("name", "command"), LEAVES.items(), ids=LEAVES)
def test_command_that_asks_can_be_told_yes_and_tried(name: str, command: Any) -> None:
    assert "--yes" not in options(command) or "--dry-run" in options(command)
