"""Decode rows by the types of a version's columns. A bad row is rejected with a reason; the others are decoded."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any

import msgspec
from msgspec import NODEFAULT, Raw

from dcmon import errors
from dcmon.ingestion import decode_errors
from dcmon.ingestion.raw_rows import DECODE_ERRORS, MAX_ROW_BYTES, MAX_ROWS, RowArray
from dcmon.ingestion.rejected_row import RejectedRow, RejectionReason
from dcmon.ingestion.row_fields import Field, FieldRole
from dcmon.ingestion.values.refusal import shown
from dcmon.storage import categories
from dcmon.storage.columns import PREDICTION, TIME

MAX_ID_LENGTH = 1024
MAX_SHOWN_CLASSES = 10
INEXACT_FLOATS = 2**53  # from here on, a float can't hold each integer
ROWS_PER_CALL = 200  # decoded in one call: they fit in a processor's cache
# One day inside the range of Python's datetime, so that a time can be read back in any time zone.
EARLIEST, LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)

RowValues = tuple[Any, ...]  # the values of a row, in the order of the row type's fields


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
            if done > MAX_ROWS:
                raise errors.TooManyRows(largest=MAX_ROWS)
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
        if self._have_class_names(decoded):
            return decoded
        return [self._named_or_reject(values) for values in decoded]  # type: ignore[arg-type]

    def _have_class_names(self, decoded: Iterable[Any]) -> bool:
        """True if no prediction needs another spelling. A numbers or booleans must become the name of its class."""
        if (index := self._prediction_index) is None:
            return True
        predictions = [values[index] for values in decoded]
        if self.classes is not None:
            return self.classes.issuperset(predictions)
        try:
            "".join(predictions)  # the fastest way to check that all are text
        except TypeError:
            return False
        return True

    def _named_or_reject(self, values: RowValues) -> RowValues | RejectedRow:
        try:
            return self._with_class_names(values)
        except RejectedRow as rejected:
            return rejected

    def _with_class_names(self, values: RowValues) -> RowValues:
        """Replace classes by their names. Raises RejectedRow if the version has no such class."""
        named = list(values)
        for index in self._class_indexes:
            if (value := values[index]) is not None:
                named[index] = self._class_name(value, is_prediction=index == self._prediction_index)
        return tuple(named)

    def _class_name(self, value: Any, *, is_prediction: bool) -> str:
        spelled = categories.spelling(value)
        name = self._names_of_classes.get(value if isinstance(value, str) else spelled)
        name = self._names_of_classes.get(spelled) if name is None else name
        if name is None and is_prediction and self.classes:
            first = ", ".join(sorted(self.classes)[:MAX_SHOWN_CLASSES])
            more = ", …" if len(self.classes) > MAX_SHOWN_CLASSES else ""
            detail = f"{shown(value)} is not one of the version's classes: {first}{more}."
            raise RejectedRow(RejectionReason.UNKNOWN_CLASS, PREDICTION, detail)
        return str(spelled) if name is None else name

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
            raise decode_errors.unreadable(error, self.fields, row) from error
        try:
            return self._decode(Raw(renamed))
        except RejectedRow as rejected:
            names = {wire_name: name for name, wire_name in self._renamed_fields.items()}
            if rejected.field not in names:
                raise
            name = names[rejected.field]
            details = (
                detail.replace(repr(rejected.field), repr(name)).replace(rejected.field, name)
                for detail in (rejected.detail, rejected.file_detail)
            )
            raise RejectedRow(rejected.reason, name, *details) from rejected

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
    def _class_indexes(self) -> list[int]:
        """The indexes of the fields that have a class."""
        return [index for index, field in enumerate(self.fields) if field.role == FieldRole.CLASS]

    @cached_property
    def _prediction_index(self) -> int | None:
        """The index of the prediction if it is a class, else None."""
        return next((index for index in self._class_indexes if self.fields[index].name == PREDICTION), None)

    @cached_property
    def _names_of_classes(self) -> Mapping[str, str]:
        return categories.class_names(self.classes or ())

    def _require_storable(self, values: RowValues, row: Raw) -> RowValues:
        for index, field in self._range_checked:
            value = values[index]
            if isinstance(value, datetime) and not EARLIEST <= value <= LATEST:
                detail = f"{value.isoformat()} is not between year 1 and 9999."
                raise RejectedRow(RejectionReason.OUT_OF_RANGE, field.name, detail)
            if isinstance(value, list) and value and (not value[0] or len({len(line) for line in value}) > 1):
                detail = "The lists inside the list are empty, or their lengths differ."
                raise RejectedRow(RejectionReason.WRONG_LENGTH, field.name, detail)
        if self._class_indexes:
            values = self._with_class_names(values)
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
        """Decode a row with values of other types, such as 5.0 as an integer, or a number that is text.

        What each value means is in `values.conversion`. `error` is msgspec's error.
        """
        try:
            values = msgspec.json.decode(row)
        except DECODE_ERRORS:
            raise decode_errors.unreadable(error, self.fields, row) from error
        self._make_integers_exact(values, row)
        converted = self._convert_list(values) if self.is_list else self._convert_object(values)
        try:
            return msgspec.structs.astuple(msgspec.convert(converted, self.decoder.type))
        except msgspec.ValidationError as second_error:
            raise decode_errors.rejection(second_error, self.fields, values) from second_error

    def _make_integers_exact(self, values: Any, row: Raw) -> None:
        """Replace the floats of bigint columns that may have lost digits, as 9007199254740993.0 does, by decimals."""
        items: dict[Any, Any]
        if self.is_list:
            items = dict(enumerate(values)) if isinstance(values, list) else {}
        else:
            items = values if isinstance(values, dict) else {}
        inexact = [
            key for key in self._bigint_keys if type(items.get(key)) is float and abs(items[key]) >= INEXACT_FLOATS
        ]
        if inexact:
            texts: Any = msgspec.json.decode(row, type=list[Raw] if self.is_list else dict[str, Raw])
            for key in inexact:
                values[key] = Decimal(bytes(texts[key]).decode())

    @cached_property
    def _bigint_keys(self) -> list[int | str]:
        """The indexes in a list, or the names in an object, of the values that are 64-bit integers."""
        return [
            index if self.is_list else _wire_name(index, field)
            for index, field in enumerate(self.fields)
            if field.kind == "bigint"
        ]

    def _convert_list(self, values: Any) -> list[Any]:
        if not isinstance(values, list) or len(values) != len(self.fields):
            detail = f"A row must be a list of {len(self.fields)} values, one for each column."
            raise RejectedRow(RejectionReason.WRONG_TYPE, None, detail)
        return [field.convert(value) for field, value in zip(self.fields, values, strict=True)]

    def _convert_object(self, values: Any) -> dict[str, Any]:
        if not isinstance(values, dict):
            detail = f"Expected a JSON object with a value for each field, got {shown(values)}."
            raise RejectedRow(RejectionReason.WRONG_TYPE, None, detail)
        for name, accepted, field in self._wire_fields:
            if type(value := values.get(name)) not in accepted and name in values:
                values[name] = field.convert(value)
        return values

    @cached_property
    def _wire_fields(self) -> list[tuple[str, frozenset[type], Field]]:
        """The name of each field in JSON, and the types that need no conversion: calls cost more than this look-up."""
        return [(_wire_name(number, field), field.accepted_types, field) for number, field in enumerate(self.fields)]


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
