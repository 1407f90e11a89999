"""Counting, asking and deleting: what every command does before it removes something."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import typer

from dcmon.errors import InvalidInput

T = TypeVar("T")


def confirm(question: str, yes: bool) -> None:
    """Ask on a terminal; without a terminal, --yes is needed. Raises InvalidInput when the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput(f"{question} There is no terminal to ask on: add --yes.")
    if not typer.confirm(question, err=True):
        raise InvalidInput("Nothing was done.")


def ask_and_run(question: str | None, action: Callable[[], T], *, dry_run: bool, yes: bool) -> T | None:
    """Ask and run the action; return its result, or None after --dry-run, which does neither.

    question: None runs the action without asking, because nothing is lost by it.
    """
    if dry_run:
        return None
    if question is not None:
        confirm(question, yes)
    return action()


def outcome(done: Mapping[str, Any], *, dry_run: bool) -> dict[str, Any]:
    """Return what was done, or would be done: the same keys, and `dry_run` in the second case."""
    return {"dry_run": True, **done} if dry_run else dict(done)
