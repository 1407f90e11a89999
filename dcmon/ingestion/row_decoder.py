"""Decode rows by the types of a version's columns. A bad row is rejected with a reason; the others are decoded."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import NODEFAULT, Meta, Raw

from dcmon.ingestion.raw_rows import DECODE_ERRORS, MAX_ROW_BYTES, TOO_LONG, RowArray
from dcmon.ingestion.rejected_row import RejectedRow, RejectionReason
from dcmon.storage.columns import PREDICTION, TIME, TYPES

MAX_ID_LENGTH = 1024
ROWS_PER_CALL = 200  # decoded in one call: they fit in a processor's cache
# One day inside the range of Python's datetime, so that a time can be read back in any time zone.
EARLIEST, LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)

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
RowValues = tuple[Any, ...]  # the values of a row, in the order of the row type's fields


@dataclass(frozen=True)
class Field:
    """A field of a row. `length` is the required length of a list."""

    name: str
    kind: str
    is_required: bool = True
    is_nullable: bool = True
    length: int | None = None

    @property
    def python(self) -> Any:
        """The Python type that msgspec decodes the field to."""
        exact = Meta(min_length=self.length, max_length=self.length)
        python = TYPES[self.kind].python if self.length is None else Annotated[list[float], exact]
        return python | None if self.is_nullable else python


@dataclass(frozen=True)
class RowType:
    """Rows with these fields, decoded into tuples of values in the order of the fields.

    `classes` are the values that a prediction may have; None allows any value. Labels are not restricted to them.
    A row is a JSON object, or with `is_list` a list in the order of the fields.
    """

    fields: tuple[Field, ...]
    decoder: "msgspec.json.Decoder[msgspec.Struct]"
    classes: frozenset[str] | None = None
    is_list: bool = False

    @property
    def names(self) -> list[str]:
        return [field.name for field in self.fields]

    def decode(self, row: Raw) -> RowValues:
        """Return the values of one row. Raises RejectedRow."""
        return self._decode_renamed(row) if self._renamed_fields else self._decode(row)

    def _decode(self, row: Raw) -> RowValues:
        try:
            values = msgspec.structs.astuple(self.decoder.decode(row))
        except DECODE_ERRORS as error:
            values = self._decode_leniently(row, error)
        return self._require_storable(values, row)

    def decode_all(self, rows: Sequence[Raw]) -> Iterator[list[RowValues | RejectedRow]]:
        """Yield the values of rows, or their rejections, in lists of a few hundred rows."""
        if isinstance(rows, RowArray) and not rows.is_split:
            yield from self._decode_chunks(rows)
            return
        for first in range(0, len(rows), ROWS_PER_CALL):
            part = rows[first : first + ROWS_PER_CALL]
            decoded = self._decode_together(b"[" + b",".join(part) + b"]", part)
            yield decoded if decoded and len(decoded) == len(part) else [self._decode_or_reject(row) for row in part]

    def _decode_chunks(self, rows: RowArray) -> Iterator[list[RowValues | RejectedRow]]:
        done = 0
        for chunk in rows.chunks():
            decoded = self._decode_together(chunk)
            if not decoded:
                yield from self.decode_all(rows.rows[done:])
                return
            yield decoded
            done += len(decoded)
        rows.is_validated = True

    def _decode_together(self, array: bytes, rows: Sequence[Raw] = ()) -> list[RowValues | RejectedRow] | None:
        """Decode an array in one call, at half the cost. None if a row is bad or must be checked separately."""
        if self._renamed_fields or self._range_checked or _may_have_nul(array):
            return None
        if len(array) > MAX_ROW_BYTES and not (rows and all(len(bytes(row)) <= MAX_ROW_BYTES for row in rows)):
            return None
        try:
            decoded: list[RowValues | RejectedRow] = [
                msgspec.structs.astuple(row) for row in self._array_decoder.decode(array)
            ]
        except DECODE_ERRORS:
            return None
        return decoded if self._have_known_classes(decoded) else None

    def _have_known_classes(self, decoded: Iterable[Any]) -> bool:
        return self.classes is None or self.classes.issuperset([values[self._prediction_index] for values in decoded])

    def _decode_or_reject(self, row: Raw) -> RowValues | RejectedRow:
        try:
            return self.decode(row)
        except RejectedRow as rejected:
            return rejected

    @cached_property
    def _array_decoder(self) -> "msgspec.json.Decoder[list[msgspec.Struct]]":
        return msgspec.json.Decoder(list[self.decoder.type])  # type: ignore[name-defined]

    @cached_property
    def _renamed_fields(self) -> dict[str, str]:
        """The names of fields that msgspec can't match, each with a name to match instead. Lists have no names."""
        if self.is_list:
            return {}
        return {
            field.name: _wire_name(index, field)
            for index, field in enumerate(self.fields)
            if _needs_renaming(field.name)
        }

    def _decode_renamed(self, row: Raw) -> RowValues:
        try:
            values = msgspec.json.decode(row, type=dict[str, Raw])
            renamed = msgspec.json.encode(
                {self._renamed_fields.get(name, name): value for name, value in values.items()}
            )
        except DECODE_ERRORS as error:
            raise self._unreadable(row, error) from error
        try:
            return self._decode(Raw(renamed))
        except RejectedRow as rejected:
            names = {wire_name: name for name, wire_name in self._renamed_fields.items()}
            if rejected.field not in names:
                raise
            name = names[rejected.field]
            detail = rejected.detail.replace(repr(rejected.field), repr(name)).replace(rejected.field, name)
            raise RejectedRow(rejected.reason, name, detail) from rejected

    @cached_property
    def _range_checked(self) -> list[tuple[int, Field]]:
        """The fields, with their indexes, whose values must be checked before they are stored.

        PostgreSQL or Python may not be able to represent them. A sample's time is not included: its bounds are narrower
        and depend on the time of receipt (`sample_decoder`).
        """
        return [
            (index, field)
            for index, field in enumerate(self.fields)
            if field.kind in ("datetime", "array_float_2d") and field.name != TIME
        ]

    @cached_property
    def _prediction_index(self) -> int | None:
        """The index of the prediction if it must be one of the classes, else None."""
        return self.names.index(PREDICTION) if self.classes else None

    def _require_storable(self, values: RowValues, row: Raw) -> RowValues:
        for index, field in self._range_checked:
            value = values[index]
            if isinstance(value, datetime) and not EARLIEST <= value <= LATEST:
                detail = f"{value.isoformat()} is not between year 1 and 9999."
                raise RejectedRow(RejectionReason.OUT_OF_RANGE, field.name, detail)
            if isinstance(value, list) and value and (not value[0] or len({len(line) for line in value}) > 1):
                detail = "The lists inside the list are empty, or their lengths differ."
                raise RejectedRow(RejectionReason.WRONG_LENGTH, field.name, detail)
        if self._prediction_index is not None and values[self._prediction_index] not in self.classes:  # type: ignore[operator]
            detail = f"{values[self._prediction_index]!r} is not one of the version's classes."
            raise RejectedRow(RejectionReason.UNKNOWN_CLASS, PREDICTION, detail)
        raw = bytes(row)
        if len(raw) > MAX_ROW_BYTES:
            detail = f"The row has {len(raw):,} bytes; at most {MAX_ROW_BYTES:,} are allowed."
            raise RejectedRow(RejectionReason.TOO_LONG, None, detail)
        if _may_have_nul(raw):
            for value, field in zip(values, self.fields, strict=True):
                if isinstance(value, str) and "\0" in value:
                    detail = "PostgreSQL can't store a NUL character."
                    raise RejectedRow(RejectionReason.NUL_CHARACTER, field.name, detail)
        return values

    def _decode_leniently(self, row: Raw, error: Exception) -> RowValues:
        """Decode values that JSON Schema accepts but msgspec does not.

        These are 5.0 as an integer, and offsets like +0200. `error` is msgspec's error.
        """
        try:
            values = msgspec.json.decode(row)
        except DECODE_ERRORS:
            raise self._unreadable(row, error) from error
        converted = self._convert_list(values) if self.is_list else self._convert_object(values, error)
        try:
            return msgspec.structs.astuple(self.decoder.decode(msgspec.json.encode(converted)))
        except msgspec.DecodeError as second_error:
            raise _rejected(second_error, self.fields) from second_error

    def _convert_list(self, values: Any) -> list[Any]:
        if not isinstance(values, list) or len(values) != len(self.fields):
            detail = f"A row must be a list of {len(self.fields)} values, one for each column."
            raise RejectedRow(RejectionReason.WRONG_TYPE, None, detail)
        return [_converted(field.kind, value) for field, value in zip(self.fields, values, strict=True)]

    def _convert_object(self, values: Any, error: Exception) -> dict[str, Any]:
        if not isinstance(values, dict):
            raise _rejected(error, self.fields)
        column_types = {field.name: field.kind for field in self.fields}
        return {name: _converted(column_types.get(name), value) for name, value in values.items()}

    def _unreadable(self, row: Raw, error: Exception) -> RejectedRow:
        """Return the rejection of a row that is not JSON. Name the field that is NaN or Infinity.

        Python's json module writes these constants although JSON does not allow them.
        """
        try:
            values = json.loads(bytes(row), parse_constant=_Constant)
        except (ValueError, RecursionError):
            return _rejected(error, self.fields)
        items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
        for key, value in items:
            if isinstance(value, _Constant):
                name = self.names[key] if isinstance(key, int) and key < len(self.fields) else str(key)
                detail = f"{name!r} is {value}, which JSON does not allow. Send null."
                return RejectedRow(RejectionReason.MALFORMED, name, detail)
        return _rejected(error, self.fields)


class _Constant(str):
    """NaN, Infinity or -Infinity, as Python's json module writes them."""


@lru_cache(maxsize=512)
def row_type(fields: tuple[Field, ...], is_list: bool = False, classes: frozenset[str] | None = None) -> RowType:
    """Return the type of rows with these fields. See RowType."""
    names = {f"f{number}": field for number, field in enumerate(fields)}
    struct = msgspec.defstruct(
        "Row",
        [
            (attribute, field.python, NODEFAULT if field.is_required or is_list else None)
            for attribute, field in names.items()
        ],
        rename={attribute: _wire_name(number, field) for number, (attribute, field) in enumerate(names.items())},
        forbid_unknown_fields=True,
        array_like=is_list,
        gc=False,
    )
    return RowType(fields, msgspec.json.Decoder(struct), classes, is_list)


def _may_have_nul(text: bytes) -> bool:
    """True if the text may contain an escaped NUL. Searching for one character first is forty times faster."""
    return b"\\" in text and b"\\u0000" in text


def _needs_renaming(name: str) -> bool:
    return any(character in '\\"' or character < " " for character in name)


def _wire_name(number: int, field: Field) -> str:
    """Return the name that msgspec matches. It is a private name if msgspec can't match the field's name."""
    return f"\ue000{number}" if _needs_renaming(field.name) else field.name


def _converted(kind: str | None, value: Any) -> Any:
    if kind in ("integer", "bigint") and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "datetime" and isinstance(value, str):
        try:
            return datetime.fromisoformat(value).astimezone(UTC) if re.search(r"[+-]\d{4}$", value) else value
        except (ValueError, OverflowError):
            return value
    return value


def _rejected(error: Exception, fields: Sequence[Field]) -> RejectedRow:
    """Translate msgspec's error into a reason code, a field and a sentence."""
    message = str(error)
    field = _field_name(message, fields)
    if field == TOO_LONG:
        detail = f"The row has more than {MAX_ROW_BYTES:,} bytes; only its beginning was kept."
        return RejectedRow(RejectionReason.TOO_LONG, None, detail)
    if "missing required" in message:
        return RejectedRow(RejectionReason.MISSING_FEATURE, field, f"The field {field!r} is missing.")
    if "unknown field" in message:
        return RejectedRow(RejectionReason.UNKNOWN_FIELD, field, f"The version has no column {field!r}.")
    reason = next(reason for pattern, reason in REASONS if re.search(pattern, message))
    return RejectedRow(reason, field, message)


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
