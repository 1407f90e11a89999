"""Convert values of a file to the column types of a version.

A cell of a CSV is text; a value of Parquet or JSON lines has a type. Both become values of a JSON row. A value that
can't be converted stays unchanged, and the row decoder rejects it.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from dcmon.ingestion.values.rules import FILE_RULES, ValueRules

Converter = Callable[[Any], Any]

JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A time that is a number counts seconds since 1970, or if it is too large for that (the year 5138) ms, µs or ns.
EPOCH_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (0, 1))
COMPACT_DATE = re.compile(r"\d{8}")  # 20260301 is ambiguous: 1 March 2026, or (as seconds) 23 August 1970
CLASS_TYPE = "class"  # the type of predictions and labels that are class names; like "categorical" otherwise
WHOLE_NUMBER = re.compile(r"-?\d+\.0+")
TRUE, FALSE = frozenset({"true", "t", "yes", "y", "1"}), frozenset({"false", "f", "no", "n", "0"})
MISSING = frozenset({"nan", "null", "none", "na", "n/a", "<na>"})


def text_converter(kind: str, rules: ValueRules = FILE_RULES) -> Converter:
    """Return the function that converts a non-empty CSV cell to a column type."""
    return _with_null_words(_TEXT.get(kind, _unchanged), rules.null_words)


def value_converter(kind: str, rules: ValueRules = FILE_RULES) -> Converter:
    """Return the function that converts Parquet and JSON values (not None) to a column type."""
    return _with_null_words(_VALUES.get(kind, _unchanged), rules.null_words)


def _with_null_words(convert: Converter, null_words: frozenset[str]) -> Converter:
    if not null_words:
        return convert
    return lambda value: None if isinstance(value, str) and value in null_words else convert(value)


def _unchanged(value: Any) -> Any:
    return value


def _number_of_text(text: str) -> Any:
    try:
        number = float(text)
    except ValueError:
        return _none_if_missing(text)
    if math.isfinite(number) and "_" not in text:
        return number
    return None if math.isnan(number) else _literal(text)


def _integer_of_text(text: str) -> Any:
    try:
        number = int(text)
    except ValueError:
        return _none_if_missing(_literal(text))
    return _literal(text) if "_" in text or number.bit_length() > 62 else number


def _literal(text: str) -> Any:
    """Keep a number unchanged for the row decoder to accept or reject. Examples: 1e309, 5.0 as an integer, 2 ** 70."""
    return msgspec.Raw(text.encode()) if JSON_NUMBER.fullmatch(text) else text


def _none_if_missing(value: Any) -> Any:
    return None if isinstance(value, str) and value.strip().lower() in MISSING else value


def _boolean_of_text(text: str) -> Any:
    word = text.strip().lower()
    return True if word in TRUE else False if word in FALSE else _none_if_missing(text)


def _list_of_text(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return _none_if_missing(text)


def _time_of_text(text: str) -> Any:
    if JSON_NUMBER.fullmatch(text):
        return text if COMPACT_DATE.fullmatch(text) else _since_epoch(float(text), text)
    try:
        return _aware(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return _none_if_missing(text)


def _time_of_value(value: Any) -> Any:
    if isinstance(value, str):
        return _time_of_text(value) if value else None
    if isinstance(value, datetime):
        return _aware(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value) if COMPACT_DATE.fullmatch(str(value)) else _since_epoch(value, str(value))
    return value


def _class_of_text(text: str) -> str:
    """Convert 1.0 to 1. Many tools write whole numbers like this if a value of the column is missing."""
    return text.partition(".")[0] if WHOLE_NUMBER.fullmatch(text) else text


def _aware(time: datetime) -> Any:
    """Return a time with an offset, UTC if it has none. Return text, which is rejected, if the year is out of range."""
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError:
        return time.isoformat()


def _since_epoch(number: float, original: str) -> Any:
    if not math.isfinite(number):
        return None if math.isnan(number) else original
    unit = next(unit for least, unit in EPOCH_UNITS if abs(number) >= least)
    try:
        return EPOCH + timedelta(seconds=number / unit)
    except OverflowError:
        return original


def _number_of_value(value: Any) -> Any:
    """Convert NaN, which is a missing value in Parquet, to None. Infinity becomes text, which is rejected."""
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _text_of_value(value: Any) -> Any:
    """Convert a class to text. Both 1 and 1.0 become "1", as for labels over HTTP."""
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return _text_of_bytes(value)
    return str(value) if isinstance(value, int | Decimal) else value


def _text_of_bytes(value: bytes) -> Any:
    """Decode text that some Parquet writers declare as bytes. Other bytes become a list, which the decoder rejects."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return [value]


_TEXT: dict[str, Converter] = {
    CLASS_TYPE: _class_of_text,
    "numeric": _number_of_text,
    "integer": _integer_of_text,
    "bigint": _integer_of_text,
    "boolean": _boolean_of_text,
    "array_float": _list_of_text,
    "array_float_2d": _list_of_text,
    "datetime": _time_of_text,
}
_VALUES: dict[str, Converter] = {
    CLASS_TYPE: _text_of_value,
    "numeric": _number_of_value,
    "integer": _number_of_value,
    "bigint": _number_of_value,
    "categorical": _text_of_value,
    "text": _text_of_value,
    "datetime": _time_of_value,
}
