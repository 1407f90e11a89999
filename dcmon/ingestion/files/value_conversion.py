"""Convert values of a file to the column types of a version.

A cell of a CSV is text; a value of Parquet or JSON lines has a type. Both become values of a JSON row, by the same rule
(`values.conversion`). A value that can't be converted stays unchanged, and the row decoder rejects it.
"""

import math
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

from dcmon.ingestion.values import conversion, lists, numbers
from dcmon.ingestion.values.refusal import ValueRefused
from dcmon.ingestion.values.rules import FILE_RULES, JSON_RULES, ValueRules

Converter = Callable[[Any], Any]

PROBABILITIES_TYPE = "probabilities"  # like "array_float", but one number is allowed too: the row decoder completes it
AS_READ = "as read"  # the value of the file, unchanged
TEXTS = ("categorical", "text")
# Words for a missing value in columns that are not text.
NULL_WORDS = frozenset({"", "nan", "null", "none", "na", "n/a", "<na>", "nat", "#n/a", "#na", "\\n"})
NULL_OF_HIVE = "\\N"  # also of MySQL and PostgreSQL: no text of anything else, so that it is null in each column
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+(?:[eE][-+]?\d+)?", re.ASCII)
_INTEGRAL = re.compile(r"(-?\d+)\.0+", re.ASCII)


def text_converter(kind: str, rules: ValueRules = FILE_RULES) -> Converter:
    """Return the function that converts a non-empty CSV cell to a column type."""
    if kind == AS_READ:
        return _with_null_words(unchanged, rules.null_words)
    if kind in TEXTS:
        null_words = rules.null_words | {NULL_OF_HIVE}
        if kind == "categorical" and rules.decimal_mark == ",":
            return lambda text: None if text in null_words else _with_point(text)
        return lambda text: None if text in null_words else text
    if kind == conversion.ID:
        return _with_null_words(_id_of_text, rules.null_words)
    return value_converter(kind, rules)


def value_converter(kind: str, rules: ValueRules = FILE_RULES) -> Converter:
    """Return the function that converts Parquet and JSON values (not None) to a column type."""
    if kind == AS_READ:
        return _with_null_words(unchanged, rules.null_words)
    convert = _probabilities(rules) if kind == PROBABILITIES_TYPE else conversion.converter(kind, rules)
    has_words = kind not in TEXTS
    if kind == "categorical" and rules.decimal_mark == ",":
        convert = _category_with_point

    def convert_or_keep(value: Any) -> Any:
        try:
            return convert(value)
        except ValueRefused:
            if has_words and isinstance(value, str) and value.strip().lower() in NULL_WORDS:
                return None
            return _refused(value, kind, rules)

    return _with_null_words(convert_or_keep, rules.null_words if has_words else rules.null_words | {NULL_OF_HIVE})


def convert_text(text: str, kind: str, rules: ValueRules = FILE_RULES) -> Any:
    """Convert one text, which may be empty, by the rules of a CSV cell. Raises ValueRefused."""
    if not text or text in rules.null_words:
        return None
    if kind in TEXTS:
        return text
    convert = _probabilities(rules) if kind == PROBABILITIES_TYPE else conversion.converter(kind, rules)
    try:
        return convert(text)
    except ValueRefused:
        if text.strip().lower() in NULL_WORDS:
            return None
        raise


def _with_null_words(convert: Converter, null_words: frozenset[str]) -> Converter:
    if not null_words:
        return convert
    return lambda value: None if isinstance(value, str) and value in null_words else convert(value)


def unchanged(value: Any) -> Any:
    """Return a value as it is in the file."""
    return value


def _category_with_point(value: Any) -> Any:
    converted = conversion.converter("categorical", FILE_RULES)(value)
    return _with_point(converted) if isinstance(converted, str) else converted


def _with_point(text: str) -> str:
    """Return a category that is a number with a point: pandas writes 1,0 for 1 if a value of the column is missing."""
    return text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text


def _id_of_text(text: str) -> str:
    """Convert 17.0 to 17. A CSV has 17.0 where Parquet and JSON have the number, if another id was missing once."""
    integral = _INTEGRAL.fullmatch(text)
    return integral[1] if integral else text


def _probabilities(rules: ValueRules) -> Converter:
    """Return the function that converts a list, or a single probability."""

    def convert(value: Any) -> Any:
        try:
            return lists.list_of_numbers(value, rules)
        except ValueRefused:
            if isinstance(value, list | bool):
                raise
            return numbers.number(value, rules)

    return convert


def _refused(value: Any, kind: str, rules: ValueRules) -> Any:
    """Return a refused value in a form that the row decoder refuses too."""
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        return str(value)
    if isinstance(value, date):  # a time that UTC can't express
        return value.isoformat()
    if isinstance(value, bytes):
        return [value]
    has_other_marks = rules.decimal_mark != JSON_RULES.decimal_mark
    if isinstance(value, str) and has_other_marks and kind in ("numeric", *numbers.INTEGERS):
        return [value] if _is_number_of_json(value) else value
    return value


def _is_number_of_json(text: str) -> bool:
    """True if the row decoder would take the text: 1.5, though the file has decimal commas."""
    try:
        numbers.number_of_text(text, JSON_RULES)
    except ValueRefused:
        return False
    return True
