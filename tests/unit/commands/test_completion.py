"""Completion offers something for every parameter that names an object or a choice."""

from typing import Any

import pytest
import typer
from typer._completion_classes import FishComplete

from dcmon import cli
from dcmon.commands.shared import completion, live_names
from tests.helpers.command_tree import leaves

NO_TEXT = {"IntParamType", "IntRange", "FloatParamType", "BoolParamType", "TyperChoice", "FuncParamType", "TyperPath"}


def texts(command: Any) -> list[str]:
    """Return the parameters of a command that take any text."""
    return [parameter.name for parameter in command.params if type(parameter.type).__name__ not in NO_TEXT]


@pytest.mark.parametrize(("name", "command"), leaves().items(), ids=leaves())
def test_every_text_is_completed_or_free(name: str, command: Any) -> None:
    words = tuple(name.split())
    missing = [
        parameter
        for parameter in texts(command)
        if completion.offers(words, parameter) is None and not completion.is_free(words, parameter)
    ]
    assert missing == [], (
        "Say in dcmon/commands/shared/completion.py what the parameter offers: a kind of object in LIVE, choices in"
        " CHOICES, or nothing in FREE because only a person knows it."
    )


def test_every_kind_of_live_names_has_a_query() -> None:
    kinds = {*completion.LIVE.values(), *completion.LIVE_OF_COMMAND.values(), *completion.OWN_OBJECTS.values()} - {""}
    assert kinds <= live_names.QUERIES.keys()


@pytest.mark.parametrize(
    ("typed", "incomplete", "offered"),
    [
        ("alert list --severity", "h", ["high"]),
        ("alert list -o", "j", ["json", "jsonl"]),
        ("-o json alert list --state", "f", ["firing"]),
        ("monitor set x --frequency", "d", ["DAY"]),
        ("alert list --sort", "s", ["severity", "state", "since"]),
        ("alert list --sort", "-s", ["-severity", "-state", "-since"]),
        ("alert list", "--so", ["--sort"]),
        ("audit-log list --limit 3 --sort", "-re", ["-request_id"]),
        ("generate completion", "", ["bash", "zsh", "fish"]),
        ("alert list --fields", "mon", ["monitor"]),
        ("wait --for", "lag", ["lag=0"]),
        ("help", "dead", ["dead-letter"]),
        ("help alert", "ac", ["ack"]),
        ("worker start", "ev", ["evaluate"]),
        ("monitor create x --check", "FeatureD", ["FeatureDrift"]),
        ("config show", "dcmon_http__po", ["DCMON_HTTP__PORT"]),
        ("source create x . --time-zone", "europe/berl", ["Europe/Berlin"]),
    ],
)
def test_choices_are_completed(typed: str, incomplete: str, offered: list[str]) -> None:
    assert complete(typed.split(), incomplete) == offered


def test_nothing_is_said_without_a_database(capfd: pytest.CaptureFixture[str]) -> None:
    for typed in ("model show", "rule delete", "--org", "alert ack", "version show credit"):
        assert complete(typed.split(), "") == []
    assert capfd.readouterr() == ("", "")


def complete(words: list[str], incomplete: str) -> list[str]:
    """Return what a shell offers, without a process of its own."""
    shell = FishComplete(typer.main.get_command(cli.app), {}, "dcmon", "_DCMON_COMPLETE")
    return [str(item.value) for item in shell.get_completions(words, incomplete)]
