"""Ask before a command removes something, and run it."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import typer

from dcmon.commands.shared.dry_run_output import DryRunOutput, would
from dcmon.errors import InvalidInput
from dcmon.formatting import printable
from dcmon.wrapping import wrapped

if TYPE_CHECKING:
    from dcmon.output import Output

T = TypeVar("T")
NO_TERMINAL = "There is no terminal to ask on: add --yes to confirm."
NOT_CONFIRMED = "Not confirmed: nothing was changed."


def confirm(question: str, yes: bool) -> None:
    """Ask a question on a terminal. Raises InvalidInput after a no, and without both terminal and --yes."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidInput(f"{question} {NO_TERMINAL}")
    if not typer.confirm(wrapped(f"{question} [y/N]", beside=2), show_default=False, err=True):
        raise InvalidInput(NOT_CONFIRMED)


def question_of(phrase: str) -> str:
    """Return the question whether to do what a phrase says, like "delete 3 rows"."""
    return f"{phrase[:1].upper()}{phrase[1:]}?"


def confirm_names(names_by_loss: "Sequence[tuple[str, str]]", yes: bool) -> None:
    """Let an operator type the name of each object that can't be restored, before the first is deleted.

    The losses are sentences. Raises InvalidInput after another text, and without both terminal and --yes.
    """
    if yes or not names_by_loss:
        return
    if not sys.stdin.isatty():
        raise InvalidInput(" ".join([*(loss for loss, _ in names_by_loss), NO_TERMINAL]))
    for loss, name in names_by_loss:
        if typer.prompt(wrapped(f"{printable(loss)} Type the name to confirm", beside=2), err=True) != name:
            raise InvalidInput(NOT_CONFIRMED)


def ask_and_run(
    output: "Output", question: str | None, action: Callable[[], T], *, phrases: Sequence[str], yes: bool
) -> T | None:
    """Ask, run the action and return its result; in a dry run note what it would do, and return None.

    `question` is None when nothing can be lost: then the action runs at once. `phrases`: as for dry_run_output.would.
    """
    if isinstance(output, DryRunOutput):
        would(output, *phrases)
        return None
    if question is not None:
        confirm(question, yes)
    return action()
