"""The value that a raw row has in a field, shortened so that it can be shown."""

import json
import math
from collections.abc import Sequence
from typing import Any

import msgspec

MAX_VALUE_LENGTH = 200  # characters
MAX_PARSED_BYTES = 1_000_000  # of a longer row, only the beginning is shown


def field_value(row: bytes, field: str | None, names: Sequence[str] | None = None) -> Any:
    """Return the value of a field of a raw row. Long values and NaN are text.

    None also if the row does not have the field. Without a field, and if the row is not a JSON object, return the
    beginning of the row itself as text. `names` are those of the values of a row that is a list.
    """
    if field is None or len(row) > MAX_PARSED_BYTES:
        return _shortened(row[: 4 * MAX_VALUE_LENGTH].decode(errors="replace"))
    try:
        values = json.loads(row, parse_float=_finite_or_text)
    except (ValueError, RecursionError):
        values = None
    if isinstance(values, list) and names is not None:
        values = dict(zip(names, values, strict=False))
    if not isinstance(values, dict):
        return _shortened(row[: 4 * MAX_VALUE_LENGTH].decode(errors="replace"))
    return shown_value(values.get(field))


def shown_value(value: Any) -> Any:
    """Return a value of JSON as it is shown: unchanged if it is short, otherwise as shortened text."""
    if isinstance(value, str):
        return _shortened(value)
    try:
        is_short = len(json.dumps(value, ensure_ascii=False, allow_nan=False)) <= MAX_VALUE_LENGTH
        msgspec.json.encode(value)  # it refuses lone surrogates
    except (ValueError, OverflowError, RecursionError):
        is_short = False
    return value if is_short else _shortened(_text(value))


def value_text(value: Any) -> str:
    """Return a shown value as JSON text, in which the text "1" and the number 1 differ."""
    return json.dumps(value, ensure_ascii=False)


def _finite_or_text(number: str) -> float | str:
    """Return the number that a text is, or the text itself if the number is too large for a float."""
    return result if math.isfinite(result := float(number)) else number


def _text(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):  # an integer of more than 4,300 digits; lists in lists
        return "…"


def encodable(text: str) -> str:
    """Return a text with a question mark for each half of a surrogate pair, which UTF-8 can't encode."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _shortened(text: str) -> str:
    """Return the beginning of a text, without lone surrogates, which UTF-8 can't encode."""
    storable = encodable(text[:MAX_VALUE_LENGTH])
    return storable if len(text) <= MAX_VALUE_LENGTH else storable[:-1] + "…"
