"""Values of a file as a version's columns take them. What can't be is left as it is: decoding rejects it.

A cell of a CSV is text, a value of Parquet or JSON lines has a type of its own; both end as values of a JSON row.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

Converter = Callable[[Any], Any]

JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A number that is a time counts seconds, or parts of one when it is too large to be seconds (the year 5138).
EPOCH_UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (0, 1))
COMPACT_DATE = re.compile(r"\d{8}")  # 20260301: a day as a number, or 23 August 1970? Nobody can tell
CLASS = "class"  # beside a column's types: categorical, and said by the model or about it
WHOLE = re.compile(r"-?\d+\.0+")
TRUE, FALSE = frozenset({"true", "t", "yes", "y", "1"}), frozenset({"false", "f", "no", "n", "0"})
MISSING = frozenset({"nan", "null", "none", "na", "n/a", "<na>"})


def from_text(kind: str) -> Converter:
    """A converter of non-empty CSV cells to a column's type."""
    return _TEXT.get(kind, _as_it_is)


def from_value(kind: str) -> Converter:
    """A converter of values, not None, of Parquet or JSON lines to a column's type."""
    return _VALUES.get(kind, _as_it_is)


def _as_it_is(value: Any) -> Any:
    return value


def _number_of_text(text: str) -> Any:
    try:
        number = float(text)
    except ValueError:
        return _unless_missing(text)
    if math.isfinite(number) and "_" not in text:
        return number
    return None if math.isnan(number) else _literal(text)


def _integer_of_text(text: str) -> Any:
    try:
        number = int(text)
    except ValueError:
        return _unless_missing(_literal(text))
    return _literal(text) if "_" in text or number.bit_length() > 62 else number


def _literal(text: str) -> Any:
    """A number as it is written, for the decoder to judge: 1e309, 5.0 for an integer, 2 ** 70."""
    return msgspec.Raw(text.encode()) if JSON_NUMBER.fullmatch(text) else text


def _unless_missing(said: Any) -> Any:
    return None if isinstance(said, str) and said.strip().lower() in MISSING else said


def _boolean_of_text(text: str) -> Any:
    said = text.strip().lower()
    return True if said in TRUE else False if said in FALSE else _unless_missing(text)


def _list_of_text(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return _unless_missing(text)


def _time_of_text(text: str) -> Any:
    if JSON_NUMBER.fullmatch(text):
        return text if COMPACT_DATE.fullmatch(text) else _since_epoch(float(text), text)
    try:
        return _aware(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return _unless_missing(text)


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
    """1.0 is 1: where a label is missing in a column of whole numbers, many tools write the others so."""
    return text.partition(".")[0] if WHOLE.fullmatch(text) else text


def _aware(time: datetime) -> Any:
    """A time without an offset is UTC; one that UTC has no year for is left to the decoder."""
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError:
        return time.isoformat()


def _since_epoch(number: float, otherwise: str) -> Any:
    if not math.isfinite(number):
        return None if math.isnan(number) else otherwise
    unit = next(unit for least, unit in EPOCH_UNITS if abs(number) >= least)
    try:
        return EPOCH + timedelta(seconds=number / unit)
    except OverflowError:
        return otherwise


def _number_of_value(value: Any) -> Any:
    """NaN is how Parquet's writers say that a value is missing; infinity is a value, which no JSON has."""
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _text_of_value(value: Any) -> Any:
    """Classes are text: 1 and 1.0 are "1", as for labels over HTTP."""
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
    """Text that some writers of Parquet do not call so. Other bytes are no text: a list, which no such column takes."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return [value]


_TEXT: dict[str, Converter] = {
    CLASS: _class_of_text,
    "numeric": _number_of_text,
    "integer": _integer_of_text,
    "bigint": _integer_of_text,
    "boolean": _boolean_of_text,
    "array_float": _list_of_text,
    "array_float_2d": _list_of_text,
    "datetime": _time_of_text,
}
_VALUES: dict[str, Converter] = {
    CLASS: _text_of_value,
    "numeric": _number_of_value,
    "integer": _number_of_value,
    "bigint": _number_of_value,
    "categorical": _text_of_value,
    "text": _text_of_value,
    "datetime": _time_of_value,
}
