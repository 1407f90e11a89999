"""What a person types. A module is a command; the first line of its docstring is its help. `_…`: a part of one."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import typer

from dcmon.errors import InvalidInput

# What a person reads where a term has no end.
FOR_EVER = {"samples_kept": "for ever", "results_kept": "for ever"}


def group(doc: str | None) -> typer.Typer:
    """A noun with its verbs, in the house's style."""
    return typer.Typer(help=doc, no_args_is_help=True, rich_markup_mode=None, add_completion=False)


def confirm(question: str, yes: bool) -> None:
    """Ask on a terminal; without one, --yes is needed. Raises InvalidInput when the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput(f"{question} There is no terminal to ask on: say --yes.")
    if not typer.confirm(question, err=True):
        raise InvalidInput("Nothing was done.")


def outcome(done: Mapping[str, Any], *, dry_run: bool) -> dict[str, Any]:
    """What was done, or would be: the same keys, and which of the two it is."""
    return {"dry_run": True, **done} if dry_run else dict(done)


def mapping(given: list[str] | None, ignore_extra: bool) -> dict[str, str]:
    """COLUMN=FIELD options as a mapping of a file's columns; "*" stands for any other. Raises BadParameter."""
    found = {"*": ""} if ignore_extra else {}
    for each in given or ():
        column, equals, field = each.rpartition("=")
        if not equals or not column:
            raise typer.BadParameter(f"{each!r} is not COLUMN=FIELD, like customer=_dc_sample_id.", param_hint="--map")
        found[column] = field
    return found


def operator() -> str:
    """Who types, for the ledger: the user of the operating system."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return "unknown"


def utc(time: datetime) -> datetime:
    """A time as it was typed, which is UTC."""
    return time.replace(tzinfo=UTC)
