"""Ask before a command removes something, run it, and report it."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import typer

from dcmon.errors import InvalidInput
from dcmon.formatting import printable

T = TypeVar("T")


def confirm(question: str, yes: bool) -> None:
    """Ask a question on a terminal. Raises InvalidInput after a no, and without both terminal and --yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput(f"{question} There is no terminal to ask on: add --yes to confirm.")
    if not typer.confirm(question, err=True):
        raise InvalidInput("Not confirmed: nothing was changed.")


def ask_and_run(question: str | None, action: Callable[[], T], *, dry_run: bool, yes: bool) -> T | None:
    """Ask, run the action and return its result; with `dry_run` do nothing and return None.

    `question` is None when nothing can be lost: then the action runs at once.
    """
    if dry_run:
        return None
    if question is not None:
        confirm(question, yes)
    return action()


def ask_for_name(loss: str | None, name: str, action: Callable[[], None], *, dry_run: bool, yes: bool) -> None:
    """Let an operator type the name of what can't be restored, and run the action; with `dry_run` do nothing.

    `loss`: a sentence that says what is lost, None if nothing is. Raises InvalidInput after another text, and without
    both terminal and --yes.
    """
    if dry_run:
        return
    if loss is not None and not yes:
        if not sys.stdin.isatty():
            raise InvalidInput(f"{loss} There is no terminal to ask on: add --yes to confirm.")
        if typer.prompt(f"{printable(loss)} Type the name to confirm", err=True) != name:
            raise InvalidInput("Not confirmed: nothing was changed.")
    action()


def outcome(row: Mapping[str, Any], *, dry_run: bool) -> dict[str, Any]:
    """Return a copy of the row; with `dry_run` the key "dry_run" comes first."""
    return {"dry_run": True, **row} if dry_run else dict(row)
