"""Options and arguments whose value is one of fixed words: all of them are parsed here."""

from collections.abc import Callable, Iterable
from typing import Any

import typer

from dcmon.errors import InvalidInput
from dcmon.nearest import unknown

FREQUENCIES = ("HOUR", "DAY", "WEEK", "MONTH")  # as in dcmon.windows, which --help does not import
RESETTABLE = ("feature", "scorer", "class", "aggregation", "max-features", "metric", "filter", "param")
FORMATS = ("csv", "parquet", "jsonl")


class OneOf:
    """Parses one of fixed words, in upper or lower case, for typer.

    `what` names such a word in the message about another one, like "severity". `known` may be a function, for words
    that are not loaded before they are needed. `more`: a sentence that says where all are listed, if they are many.
    """

    def __init__(self, what: str, known: Iterable[str] | Callable[[], Iterable[str]], more: str = "") -> None:
        self.what, self._known, self._more = what, known, more
        self.__name__ = what  # typer calls the type by this name

    @property
    def choices(self) -> list[str]:
        """Return the words, in their order."""
        return list(self._known if isinstance(self._known, Iterable) else self._known())

    def __call__(self, typed: str) -> str:
        """Return the word as it is written in `choices`. Raises BadParameter with the nearest one."""
        choices = self.choices
        match = next((choice for choice in choices if choice.lower() == typed.lower()), None)
        if match is None:
            raise typer.BadParameter(f"{unknown(self.what, typed, choices)} {self._more}".rstrip())
        return match


class Parsed:
    """Parses a value with a function that raises InvalidInput, for typer: the message names the option."""

    def __init__(self, parse: Callable[[str], Any], more: str = "") -> None:
        self._parse, self._more, self.__name__ = parse, more, parse.__name__

    def __call__(self, typed: Any) -> Any:
        """Return the parsed value, or a default as it is. Raises BadParameter; `more` is a sentence of its message."""
        try:
            return self._parse(typed) if isinstance(typed, str) else typed
        except InvalidInput as error:
            raise typer.BadParameter(f"{error} {self._more}".rstrip()) from None


def choice_option(
    *names: str, what: str, known: Any, help: str, metavar: str | None = None, more: str = ""
) -> typer.models.OptionInfo:
    """Return an option whose value is one of fixed words, as OneOf parses them."""
    option: typer.models.OptionInfo = typer.Option(*names, parser=OneOf(what, known, more), help=help, metavar=metavar)
    return option


def choice_argument(what: str, known: Any, help: str, metavar: str | None = None) -> typer.models.ArgumentInfo:
    """Return an argument whose value is one of fixed words."""
    argument: typer.models.ArgumentInfo = typer.Argument(parser=OneOf(what, known), help=help, metavar=metavar)
    return argument
