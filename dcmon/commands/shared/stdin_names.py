"""Names of objects from standard input, which "-" stands for: one a line, as `-o name` prints them.

xargs would part a name at its spaces and quotes.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from dcmon.errors import InvalidInput, NotFound

STDIN = "-"
HELP = '"-": from stdin, one a line.'
# Arguments of which there may be several, and which are no names of objects that exist.
OTHERS = frozenset({"files", "matchers", "parts", "paths", "target", "values", "version"})


def accept(command: Any) -> None:
    """Let an argument of a command that takes several names also take them from standard input, and say so."""
    for parameter in command.params:
        if takes(parameter):
            parameter.help = f"{parameter.help.rstrip('.')}. {HELP}"
            parameter.process_value = partial(_process, parameter.process_value)


def takes(parameter: Any) -> bool:
    """Return True if a parameter is an argument that takes several names of objects."""
    return parameter.param_type_name == "argument" and parameter.nargs == -1 and parameter.name not in OTHERS


def _process(process: Callable[[Any, Any], Any], context: Any, value: Sequence[str] | None) -> Any:
    if value and STDIN in value and not context.resilient_parsing:
        value = list(_with_names(value))
    return process(context, value)


def _with_names(words: Sequence[str]) -> Iterator[str]:
    """Yield the words, with the lines of standard input in place of the first "-"."""
    for number, word in enumerate(words):
        if word != STDIN:
            yield word
        elif STDIN not in words[:number]:
            yield from read()


def read() -> list[str]:
    """Read the names on standard input, as they are, also with spaces and quotes; lines may end as in Windows.

    Raises NotFound without a name, or InvalidInput for bytes that are no text.
    """
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"Standard input is no text in UTF-8: {error.reason} at byte {error.start:,}.") from error
    names = [line.removesuffix("\r") for line in text.split("\n")]
    if not any(name.strip() for name in names):
        raise NotFound('There is no name on standard input, which "-" stands for: a list prints names with "-o name".')
    return [name for name in names if name.strip()]
