"""One grammar: what holds for every command, found by walking all of them."""

from collections.abc import Mapping
from typing import Any

import pytest
import typer

from dcmon import cli
from dcmon.commands.shared import help_texts
from dcmon.commands.shared.groups import OLD_OPTIONS, with_new_options
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
    "generate",
    "logs",
    "validate",
    "export",
    "plan",
    "verify",
}
# Commands that change something and have no --dry-run, with the reason.
WITHOUT_DRY_RUN = {
    "backup create": "writes one new file, and only reads the database",
    "debug bundle": "writes one new file, and only reads the database",
    "org export": "writes one new file, and only reads the database",
    "demo": "runs a system of its own, in a directory of its own",
    "migrate revision": "writes one new file, for developers of dcmon",
    "report": "writes one new file, and only reads the database",
    "secret-key create": "prints a key; nothing is stored",
    "serve": "a process that serves until it is stopped",
    "up": "starts processes, which dcmon down stops",
    "worker start": "a process that works until it is stopped",
}


def test_every_changing_command_has_a_dry_run() -> None:
    """A command whose first or last word is not a reading one changes something."""
    missing = [
        name
        for name, command in LEAVES.items()
        if not {name.split()[0], name.split()[-1]} & READING
        and name not in WITHOUT_DRY_RUN
        and "--dry-run" not in options(command)
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


@pytest.mark.parametrize(("name", "command"), LEAVES.items(), ids=LEAVES)
def test_example_fits_into_80_columns(name: str, command: Any) -> None:
    """It is shown on a line of its own, four columns from the left."""
    examples = help_texts.EXAMPLE.findall(command.help)
    assert [example for example in examples if len(example) > 76] == []


@pytest.mark.parametrize("name", help_texts.GROUPS_OF_COMMANDS)
def test_grouped_help_shows_every_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = typer.main.get_command(cli.app)
    with pytest.raises(SystemExit):
        command([*name.split(), "--help"], prog_name="dcmon")
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    for title in help_texts.GROUPS_OF_COMMANDS[name]:
        assert f"\n{title}:\n" in shown
    for parameter in LEAVES[name].params:
        if parameter.param_type_name == "option" and not parameter.hidden:
            assert parameter.opts[0] in shown


def test_every_list_can_be_sorted_limited_and_watched() -> None:
    listing = [name for name in LEAVES if name.split()[-1] in ("list", "history", "show-keys")]
    assert [name for name in listing if not {"--sort", "--limit", "--watch"} <= options(LEAVES[name])] == []


def test_every_list_of_an_organization_is_of_all_on_demand() -> None:
    """Others are of no organization, of all anyway, or of one object."""
    apart = {"check list", "dead-letter list", "org list", "profile list"}
    lists = {name for name in LEAVES if name.endswith(" list")}
    assert {name for name in lists if "--all-orgs" not in options(LEAVES[name])} == apart


def test_question_is_answered_by_yes_or_its_first_letter() -> None:
    asking = [options(command) for command in LEAVES.values() if {"--yes", "-y"} & options(command)]
    assert all({"--yes", "-y"} <= offered for offered in asking)


@pytest.mark.parametrize(("noun", "renamed"), OLD_OPTIONS.items(), ids=OLD_OPTIONS)
def test_option_of_an_earlier_release_works_unlisted(noun: str, renamed: Mapping[str, str]) -> None:
    known = set().union(*(options(command) for name, command in LEAVES.items() if name.split()[0] == noun))
    assert known & renamed.keys() == set()
    assert set(renamed.values()) <= known
    for old, new in renamed.items():
        typed, expected = ["x", old, "y", f"{old}=z", "--", old], ["x", new, "y", f"{new}=z", "--", old]
        assert with_new_options(typed, renamed) == expected
