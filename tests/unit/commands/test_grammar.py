"""One grammar: what holds for every command, found by walking all of them."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
import typer

from dcmon import cli
from dcmon.commands.shared import help_texts, list_fields
from dcmon.commands.shared.arguments import names_and_defaults
from dcmon.commands.shared.groups import OLD_OPTIONS, OLD_WORDS, with_new_options, with_new_words
from dcmon.states import DefaultSet
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
    "docs",
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
    "debug bundle": "writes one new file, and only reads the database",
    "demo": "runs a system of its own, in a directory of its own",
    "migrate revision": "writes one new file, for developers of dcmon",
    "report": "writes one new file, and only reads the database",
    "secret-key create": "prints a key; nothing is stored",
    "serve": "a process that serves until it is stopped",
    "up": "starts processes, which dcmon down stops",
    "worker start": "a process that works until it is stopped",
}

# What stands for an object in usage lines, where it is not the noun of the command.
OBJECTS = {
    "audit-log": "CHANGE", "config": "SETTING", "invitation": "EMAIL", "member": "EMAIL", "quarantine": "ROW",
    "reference": "VERSION",
}  # fmt: skip
# Commands whose arguments do not begin with an object of their noun.
OTHER_ARGUMENTS = {
    "backup create": "FILE", "backup restore": "FILE", "backup verify": "FILE", "debug bundle": "[FILE]",
    "docs": "[PAGE]", "export": "[MODEL...]",
    "generate completion": "bash|zsh|fish", "ingest file": "PATH...", "logs": "[PART...]",
    "member restrict": "own|all", "migrate revision": "MESSAGE", "org import": "FILE", "reference load": "FILE",
    "report": "MODEL", "rule create": "MONITOR CONDITION", "rule test": "FILE...", "silence create": "MATCHER...",
    "token import": "FILE", "validate": "[FILE...]", "worker start": "[WORKER]", "member create": "EMAIL",
}  # fmt: skip

PRINTS = {"backup create", "secret-key create"}  # what they make is a file, or shown once


def usage(command: Any) -> str:
    """Return the arguments of a command as its usage line shows them."""
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    return " ".join(help_texts.usage_of(argument) for argument in arguments if not argument.hidden)


@pytest.mark.parametrize(
    ("name", "command"), [(name, command) for name, command in LEAVES.items() if usage(command)], ids=str
)
def test_object_comes_first_under_the_name_of_its_noun(name: str, command: Any) -> None:
    """One that is created is NAME, and a new name NEW_NAME; [X] may be left out, and X... may be several."""
    noun, _, verb = name.partition(" ")
    shown = usage(command)
    if name in OTHER_ARGUMENTS:
        assert shown == OTHER_ARGUMENTS[name]
        return
    obj = "NAME" if verb == "create" else OBJECTS.get(noun, noun.upper().replace("-", "_"))
    assert re.match(rf"\[?{obj}(\.\.\.)?\]?( |\||$)", shown), "The object comes first, then what it gets."


def test_every_argument_is_named_once_and_in_capitals_or_choices() -> None:
    words = {word.strip("[].") for command in LEAVES.values() for word in usage(command).split()}
    choices = {word for word in words if "|" in word}
    assert {word for word in words - choices if not re.fullmatch("[A-Z_]+(=[A-Z]+)?", word)} == set()
    assert [word for word in words if f"{word}S" in words or f"{word}_ID" in words] == []


def test_list_takes_its_model_as_an_option_or_unlisted_word() -> None:
    of_a_model = {
        name: command for name, command in LEAVES.items() if name.endswith(" list") and "--model" in options(command)
    }
    assert len(of_a_model) >= 5
    for command in of_a_model.values():
        assert [p.hidden for p in command.params if p.param_type_name == "argument"] == [True]


@pytest.mark.parametrize(
    "typed", [["credit", "churn", "sdk"], ["sdk", "credit", "churn"]], ids=["object first", "as in earlier releases"]
)
def test_defaults_of_models_are_typed_after_them(typed: list[str]) -> None:
    assert names_and_defaults(typed[:-1], typed[-1]) == (["credit", "churn"], DefaultSet.SDK)


def test_model_may_have_the_name_of_a_choice() -> None:
    assert names_and_defaults(["sdk"], "all") == (["sdk"], DefaultSet.ALL)
    assert names_and_defaults(None, "none") == ([], DefaultSet.NONE)


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


@pytest.mark.parametrize(("name", "command"), LEAVES.items(), ids=LEAVES)
def test_help_begins_with_the_verb(name: str, command: Any) -> None:
    verb = name.split()[-1].partition("-")[0]
    first = {
        "create": "Create", "delete": "Delete", "show": "Show", "rename": "Rename", "copy": "Copy",
        "list": "List|Count", "set": "Set|Change|Create",
    }  # fmt: skip
    assert name in PRINTS or re.match(rf"({first.get(verb, '[A-Z][a-z]+')}) ", command.help.lstrip())


@pytest.mark.parametrize("name", LEAVES)
def test_options_of_many_commands_are_the_last_in_one_order(name: str) -> None:
    command = typer.main.get_command(cli.app)
    with typer.Context(command) as context:
        for word in name.split():
            command = command.get_command(context, word)  # type: ignore[attr-defined]
    names = [parameter.name for parameter in command.params]
    assert names == sorted(names, key=lambda name: help_texts.LAST.index(name) if name in help_texts.LAST else -1)


def test_fields_of_every_list_are_known() -> None:
    """tests/integration/commands/test_help_examples.py compares them with the data."""
    lists = {name for name in LEAVES if name.split()[-1] in ("list", "show-keys", "history")}
    assert lists == {name.partition(" --")[0] for name in list_fields.FIELDS}


def test_every_list_of_an_organization_is_of_all_on_demand() -> None:
    """Others are of no organization, of all anyway, or of one object."""
    apart = {"check list", "org list", "profile list"}
    lists = {name for name in LEAVES if name.endswith(" list")}
    assert {name for name in lists if "--all-orgs" not in options(LEAVES[name])} == apart


def test_question_is_answered_by_yes_or_its_first_letter() -> None:
    asking = [options(command) for command in LEAVES.values() if {"--yes", "-y"} & options(command)]
    assert all({"--yes", "-y"} <= offered for offered in asking)


@pytest.mark.parametrize(("old", "new"), OLD_WORDS.items(), ids=map(" ".join, OLD_WORDS))
def test_words_of_an_earlier_release_work_unlisted(old: tuple[str, ...], new: tuple[str, ...]) -> None:
    assert not any(f"{name} ".startswith(f"{' '.join(old)} ") for name in LEAVES)
    assert any(f"{name} ".startswith(f"{' '.join(new)} ") for name in LEAVES)
    assert with_new_words([*old, "--help"]) == [*new, "--help"]
    assert with_new_words(["alert", *old]) == ["alert", *old]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("org set-defaults acme sdk", "org set acme --defaults sdk"),
        ("org set-defaults sdk acme beta --dry-run", "org set acme beta --dry-run --defaults sdk"),
        ("org set-defaults all", "org set --defaults all"),
        ("member set-role -y ann@acme.org admin", "member set -y ann@acme.org --role admin"),
        ("member set-role --help", "member set --help"),
        ("org set-defaults -y -- acme sdk", "org set -y --defaults sdk -- acme"),
        ("member set-role ann@acme.org", "member set ann@acme.org"),
    ],
)
def test_choice_that_was_an_argument_becomes_an_option(old: str, new: str) -> None:
    assert with_new_words(old.split()) == new.split()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("org help set-limits", "org help set"),
        ("org help set-defaults", "org help set"),
        ("notification help pause", "receiver help pause"),
        ("webhook help create", "receiver help create"),
        ("org help", "org help"),
        ("help org", "help org"),
    ],
)
def test_words_of_an_earlier_release_work_after_help(old: str, new: str) -> None:
    assert with_new_words(old.split()) == new.split()


@pytest.mark.parametrize(("noun", "renamed"), OLD_OPTIONS.items(), ids=OLD_OPTIONS)
def test_option_of_an_earlier_release_works_unlisted(noun: str, renamed: Mapping[str, str]) -> None:
    known = set().union(*(options(command) for name, command in LEAVES.items() if name.split()[0] == noun))
    assert known & renamed.keys() == set()
    assert set(renamed.values()) <= known
    for old, new in renamed.items():
        typed, expected = ["x", old, "y", f"{old}=z", "--", old], ["x", new, "y", f"{new}=z", "--", old]
        assert with_new_options(typed, renamed) == expected
