"""All commands of dcmon, found by walking the Typer apps, for tests that hold for each of them."""

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

import typer

from dcmon import cli

NAMES = sorted(path.stem.replace("_", "-") for path in cli.COMMANDS.glob("[a-z]*.py"))


@cache  # Many modules ask while they are collected, in each process.
def leaves() -> dict[str, Any]:
    """Return each command by its words, like "alert list"; a group that is a command itself has its own name."""
    return dict(leaf for name in NAMES for leaf in _leaves(name, _command(name)))


def options(command: Any) -> set[str]:
    """Return the options of a command, like "--dry-run"."""
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


def _command(name: str) -> Any:
    return typer.main.get_command(import_module(f"dcmon.commands.{name.replace('-', '_')}").app)


def _leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    subcommands = getattr(command, "commands", None)
    if subcommands is None or command.invoke_without_command:
        yield name, command
    for verb, subcommand in (subcommands or {}).items():
        yield from _leaves(f"{name} {verb}", subcommand)
