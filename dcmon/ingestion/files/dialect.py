"""How a file is written: the options of the commands that read files, kept with a source."""

import codecs
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from dcmon import errors, windows
from dcmon.ingestion.values.rules import FILE_RULES, DateOrder, ValueRules
from dcmon.nearest import listed, meant

DELIMITER_NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|", "space": " "}
DECIMAL_MARKS = (".", ",")
THOUSANDS_MARKS = (",", ".", " ", "'", "’", "_", "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}")
ENCODINGS = ("utf-8", "utf-16", "windows-1252", "latin-1")
TEXT_FORMATS = ("csv", "jsonl")
_MEANINGFUL_FOR = {"delimiter": ("csv",), "encoding": TEXT_FORMATS}  # the other options: for each format


@dataclass(frozen=True)
class Dialect:
    """How a file is written, as the operator says. None: what the file itself shows, or else the default.

    `encoding` is a name of Python. `null` has the texts that are null in columns of each type. `time_zone` is a name of
    the IANA database.
    """

    delimiter: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    null: tuple[str, ...] | None = None
    time_zone: str | None = None
    date_order: DateOrder | None = None

    def value_rules(self) -> ValueRules:
        """Return the rules for values: those of files, as far as the operator says nothing else."""
        given: dict[str, Any] = {"decimal_mark": self.decimal, "thousands_mark": self.thousands}
        given |= {"date_order": self.date_order, "null_words": None if self.null is None else frozenset(self.null)}
        if self.time_zone is not None:
            given["time_zone"] = windows.time_zone(self.time_zone)
        return replace(FILE_RULES, **{name: value for name, value in given.items() if value is not None})

    def given(self) -> dict[str, Any]:
        """Return the options that the operator gave, as JSON has them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }

    def for_format(self, format: str) -> "Dialect":
        """Return the dialect without the options that have no meaning for a format."""
        return replace(self, **dict.fromkeys(self._meaningless_for(format)))

    def require_meaning(self, path: str, format: str) -> None:
        """Check that each option has a meaning for a format. Raises InvalidInput."""
        if meaningless := self._meaningless_for(format):
            raise errors.InvalidInput(
                f"--{meaningless[0]} has no meaning for {path}: it is for {_FORMAT_NAMES[meaningless[0]]}, and the file"
                f" is read as {format}. Leave the option out, or give the format with --format."
            )

    def _meaningless_for(self, format: str) -> list[str]:
        return [
            option for option, formats in _MEANINGFUL_FOR.items() if option in self.given() and format not in formats
        ]


NO_OPTIONS = Dialect()
_FORMAT_NAMES = {"delimiter": "CSV", "encoding": "CSV and JSON lines"}


def create(options: Mapping[str, str | None], null: Sequence[str] | None = None) -> Dialect:
    """Create a dialect from options as typed: the names are the fields of Dialect. Raises InvalidInput."""
    given = {name: _PARSERS[name](text) for name, text in options.items() if text is not None}
    if null:
        given["null"] = tuple(dict.fromkeys(null))
    dialect = Dialect(**given)
    _require_two_marks(dialect)
    return dialect


def changed(stored: Dialect, typed: Dialect, reset: Collection[str]) -> Dialect:
    """Return a dialect with the options that were typed, and without those to reset. Raises InvalidInput."""
    remaining = replace(stored, **{name: None for name in reset if hasattr(stored, name)})
    values = {field.name: getattr(typed, field.name) for field in fields(typed)}
    dialect = replace(remaining, **{name: value for name, value in values.items() if value is not None})
    _require_two_marks(dialect)
    return dialect


def _require_two_marks(dialect: Dialect) -> None:
    rules = dialect.value_rules()
    if rules.decimal_mark == rules.thousands_mark:
        raise errors.InvalidInput(
            f"Numbers can't have {rules.decimal_mark!r} as decimal mark and between thousands:"
            f" choose another mark with --{'thousands' if dialect.decimal else 'decimal'}."
        )


def from_json(given: Mapping[str, Any] | None) -> Dialect:
    """Return the dialect that `given()` returned."""
    values = dict(given or {})
    if "null" in values:
        values["null"] = tuple(values["null"])
    if "date_order" in values:
        values["date_order"] = DateOrder(values["date_order"])
    return Dialect(**values)


def _delimiter(text: str) -> str:
    delimiter = DELIMITER_NAMES.get(text.lower(), text)
    names = [name for name in DELIMITER_NAMES if name.isalpha()]
    if len(delimiter) != 1 or delimiter.isalnum() or delimiter in '"\r\n\0':
        raise errors.InvalidInput(
            f"--delimiter: {text!r} is not one character between the cells of a row, such as ';'; or"
            f" {', '.join(names)}.{meant(text, names)}"
        )
    return delimiter


def _encoding(text: str) -> str:
    try:
        "".encode(text)  # refuses codecs that are not for text, such as base64
        return codecs.lookup(text).name
    except (LookupError, ValueError, UnicodeError) as error:
        raise errors.InvalidInput(
            f"--encoding: There is no encoding {text!r}.{meant(text, ENCODINGS)}"
            f" Names are, for example, {listed(ENCODINGS)}."
        ) from error


def _decimal(text: str) -> str:
    return _require("--decimal", text, DECIMAL_MARKS)


def _thousands(text: str) -> str:
    return _require("--thousands", text, THOUSANDS_MARKS)


def _date_order(text: str) -> DateOrder:
    return DateOrder(_require("--date-order", text.lower(), tuple(DateOrder)))


def _time_zone(text: str) -> str:
    return windows.time_zone(text).key


def _require(option: str, text: str, known: Sequence[str]) -> str:
    if text not in known:
        raise errors.InvalidInput(f"{option}: {text!r} is not one of {', '.join(map(repr, map(str, known)))}.")
    return text


_PARSERS: Mapping[str, Any] = {
    "delimiter": _delimiter, "encoding": _encoding, "decimal": _decimal, "thousands": _thousands,
    "time_zone": _time_zone, "date_order": _date_order,
}  # fmt: skip
