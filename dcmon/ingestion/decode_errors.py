"""Translate the errors of the decoder of JSON into a reason, a field and a sentence."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from dcmon.ingestion import rejection_hints
from dcmon.ingestion.raw_rows import DECODE_ERRORS, MAX_ROW_BYTES, TOO_LONG
from dcmon.ingestion.rejected_row import RejectedRow, RejectionReason
from dcmon.ingestion.row_fields import Field
from dcmon.ingestion.values.refusal import MAX_SHOWN

# Patterns of msgspec's messages, and the reason code for each. The first pattern that matches decides.
REASONS = (
    (r"`str` of length <=", RejectionReason.TOO_LONG),
    (r"`str` of length >=", RejectionReason.WRONG_TYPE),
    (r"length", RejectionReason.WRONG_LENGTH),
    (r"out of range|>=|<=", RejectionReason.OUT_OF_RANGE),
    (r"^Invalid UTF-8", RejectionReason.MALFORMED),  # msgspec 0.23; earlier versions raise UnicodeDecodeError
    (r"^(Expected|Invalid)", RejectionReason.WRONG_TYPE),
    (r"", RejectionReason.MALFORMED),
)
UNKNOWN_FIELD = "Object contains unknown field `"  # begins msgspec's message; the name that a sender chose follows
HALF_OF_A_PAIR = re.compile("[\ud800-\udfff]")
BYTES_BEFORE, BYTES_AFTER = 24, 12  # of a malformed row, around the byte that the decoder names


def rejection(error: Exception, fields: Sequence[Field], values: Any = None) -> RejectedRow:
    """Translate msgspec's error. `values` is the row, decoded, if it can be decoded."""
    message = str(error)
    if message.startswith(UNKNOWN_FIELD):
        return _unknown_field(message.removeprefix(UNKNOWN_FIELD).removesuffix(" - at `$`")[:-1], fields, values)
    field = _field_name(message, fields)
    if "missing required" in message:
        return RejectedRow(RejectionReason.MISSING_FEATURE, field, f"The field {field!r} is missing.")
    reason = next(reason for pattern, reason in REASONS if re.search(pattern, message))
    return RejectedRow(reason, field, message)


def _unknown_field(name: str, fields: Sequence[Field], values: Any) -> RejectedRow:
    """Return the rejection of a row with a field that its version does not have. The name may be as long as a row."""
    if name == TOO_LONG:
        detail = f"The row has more than {MAX_ROW_BYTES:,} bytes; only its beginning was kept."
        return RejectedRow(RejectionReason.TOO_LONG, None, detail)
    hint = rejection_hints.for_unknown_field(name, values, tuple(known.name for known in fields))
    return RejectedRow(RejectionReason.UNKNOWN_FIELD, name, f"The version has no column {name!r}.{hint and ' ' + hint}")


def unreadable(error: Exception, fields: Sequence[Field], row: Raw) -> RejectedRow:
    """Return the rejection of a row that is not JSON. Name the field that is NaN, Infinity or half a character.

    Python's json module writes these constants although JSON does not allow them, and it reads what msgspec refuses.
    """
    try:
        values = json.loads(bytes(row), parse_constant=_Constant)
    except (ValueError, RecursionError):
        return _with_value(rejection(error, fields), row)
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in items:
        name = fields[key].name if isinstance(key, int) and key < len(fields) else str(key)
        problem = next(filter(None, map(_problem, (name, *_nested(value)))), None)
        if problem is not None:
            detail = f"{name!r} {'is' if isinstance(value, _Constant) else 'has'} {problem}"
            return RejectedRow(RejectionReason.MALFORMED, name, detail)
    return _with_value(rejection(error, fields), row)


def _nested(value: Any) -> Iterator[Any]:
    """Yield a value of JSON, and all values and names in it."""
    pending = [value]
    while pending:
        current = pending.pop()
        yield current
        if isinstance(current, dict):
            pending += [*current, *current.values()]
        elif isinstance(current, list):
            pending += reversed(current)


def _problem(value: Any) -> str | None:
    """Return what is wrong with a value that Python's json module reads and JSON does not allow."""
    if isinstance(value, _Constant):
        return f"{value}, which JSON does not allow. Send null."
    if isinstance(value, str) and not value.isascii() and (half := HALF_OF_A_PAIR.search(value)):
        return f"{ascii(half[0])[1:-1]}, half of a surrogate pair: the other half of the character is missing."
    return None


def _with_value(rejected: RejectedRow, row: Raw) -> RejectedRow:
    """Add the value that was met, or the text around the byte that is wrong, if it is known."""
    if rejected.field is None and (at := re.search(r"\(byte (\d+)\)$", rejected.detail)):
        around = bytes(row)[max(0, int(at[1]) - BYTES_BEFORE) : int(at[1]) + BYTES_AFTER].decode(errors="replace")
        return RejectedRow(rejected.reason, None, f"{rejected.detail}, at {around!r}")
    try:
        raw = msgspec.json.decode(row, type=dict[str, Raw]).get(rejected.field or "")
    except DECODE_ERRORS:
        return rejected
    if raw is None or rejected.reason in (RejectionReason.UNKNOWN_FIELD, RejectionReason.MISSING_FEATURE):
        return rejected
    text = bytes(raw).decode(errors="replace")
    value = text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
    if rejected.detail.startswith("Number out of range"):
        return RejectedRow(rejected.reason, rejected.field, f"Expected a number up to 1.7e308, got {value}.")
    return RejectedRow(rejected.reason, rejected.field, f"{rejected.detail}, got {value}")


class _Constant(str):
    """NaN, Infinity or -Infinity, as Python's json module writes them."""


def _field_name(message: str, fields: Sequence[Field]) -> str | None:
    """Return the field that msgspec's message names, by name or by index."""
    path = re.search(r"\$\.(.+?)(?:\[\.\.\.\])*`?$|\$\[(\d+)\]", message)
    named = re.search(r"field `(.+)`(?: - at `\$`)?$", message, re.DOTALL)
    field = named[1] if named else None
    if field is None and path:
        field = path[1] if path[1] else fields[int(path[2])].name if int(path[2]) < len(fields) else None
    if field is not None and field not in {known.name for known in fields}:
        field = re.sub(r"(\[\d+\])+$", "", field)
    return field
