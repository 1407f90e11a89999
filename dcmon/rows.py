"""Decoding rows: typed by a version's columns, each bad row set apart with a reason, never its batch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import NODEFAULT, Meta, Raw

from dcmon import errors
from dcmon.columns import LABEL, PREDICTION, PROBABILITIES, SAMPLE_ID, TIME, TYPES, Columns

LONGEST_ID = 1024
AT_ONCE = 200  # rows that are decoded in one call: what fits a processor's cache
# A day inside what Python holds, so that a time can be read back in any time zone.
EARLIEST, LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)

__all__ = ["LONGEST_ID", "Field", "Raw", "Rejected", "Shape", "label_shape", "reference_shape", "sample_shape", "split"]


class Rejected(Exception):
    """A row that can't be stored: why (a code), in which field, and in words."""

    def __init__(self, reason: str, field: str | None, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.field, self.detail = reason, field, detail


@dataclass(frozen=True)
class Field:
    """One field of a row. A missing one is an error when it is required; length is that of a list."""

    name: str
    kind: str
    is_required: bool = True
    is_nullable: bool = True
    length: int | None = None

    @property
    def python(self) -> Any:
        exact = Meta(min_length=self.length, max_length=self.length)
        python = TYPES[self.kind].python if self.length is None else Annotated[list[float], exact]
        return python | None if self.is_nullable else python


@dataclass(frozen=True)
class Shape:
    """Rows with these fields, decoded into tuples of values in the order of the fields."""

    fields: tuple[Field, ...]
    decoder: "msgspec.json.Decoder[msgspec.Struct]"

    @property
    def names(self) -> list[str]:
        return [field.name for field in self.fields]

    def decode(self, row: msgspec.Raw) -> tuple[Any, ...]:
        """The values of one row. Raises Rejected."""
        if self._stand_ins:
            return self._decode_renamed(row)
        return self._decode(row)

    def _decode(self, row: msgspec.Raw) -> tuple[Any, ...]:
        try:
            values = msgspec.structs.astuple(self.decoder.decode(row))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            values = self._lenient(row, error)
        return self._storable(values, row)

    def decode_all(self, rows: Sequence[msgspec.Raw]) -> list["tuple[Any, ...] | Rejected"]:
        """The values of each row, or why it has none."""
        decoded = list[tuple[Any, ...] | Rejected]()
        for first in range(0, len(rows), AT_ONCE):
            part = rows[first : first + AT_ONCE]
            decoded += self._decode_together(part) or [self._attempt(row) for row in part]
        return decoded

    def _decode_together(self, rows: Sequence[msgspec.Raw]) -> list[tuple[Any, ...] | Rejected] | None:
        """Rows in one call, which costs half; None when one of them is bad, or needs a closer look."""
        together = b"[" + b",".join(rows) + b"]"
        if self._stand_ins or b"\\u0000" in together:
            return None
        try:
            found: list[tuple[Any, ...] | Rejected] = [
                msgspec.structs.astuple(row) for row in self._all.decode(together)
            ]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return found if len(found) == len(rows) and not self._delicate_features else None

    def _attempt(self, row: msgspec.Raw) -> "tuple[Any, ...] | Rejected":
        try:
            return self.decode(row)
        except Rejected as why:
            return why

    @cached_property
    def _all(self) -> "msgspec.json.Decoder[list[msgspec.Struct]]":
        return msgspec.json.Decoder(list[self.decoder.type])  # type: ignore[name-defined]

    @cached_property
    def _delicate_features(self) -> list[tuple[int, Field]]:
        """All but the sample's time, which has bounds of its own."""
        return [(at, field) for at, field in self._delicate if field.name != TIME]

    @cached_property
    def _stand_ins(self) -> dict[str, str]:
        """Names that msgspec can't look for, and what it looks for instead."""
        return {field.name: _wire_name(at, field) for at, field in enumerate(self.fields) if _is_awkward(field.name)}

    def _decode_renamed(self, row: msgspec.Raw) -> tuple[Any, ...]:
        try:
            given = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
            renamed = msgspec.json.encode({self._stand_ins.get(name, name): value for name, value in given.items()})
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._decode(row)
        try:
            return self._decode(msgspec.Raw(renamed))
        except Rejected as why:
            names = {stand_in: name for name, stand_in in self._stand_ins.items()}
            if why.field not in names:
                raise
            name = names[why.field]
            said = why.detail.replace(repr(why.field), repr(name)).replace(why.field, name)
            raise Rejected(why.reason, name, said) from why

    def decode_list(self, row: msgspec.Raw) -> tuple[Any, ...]:
        """The values of a row that is a list in the order of the fields. Raises Rejected."""
        try:
            given = msgspec.json.decode(row)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _rejected(error, self.fields) from error
        if not isinstance(given, list) or len(given) != len(self.fields):
            raise Rejected("wrong_type", None, f"A row is a list of {len(self.fields)} values, as many as columns.")
        try:
            return self._storable(msgspec.structs.astuple(self.decoder.decode(row)), row)
        except (msgspec.DecodeError, UnicodeDecodeError):
            eased = [_eased(field.kind, value) for field, value in zip(self.fields, given, strict=True)]
        try:
            return self._storable(msgspec.structs.astuple(self.decoder.decode(msgspec.json.encode(eased))), row)
        except msgspec.DecodeError as error:
            raise _rejected(error, self.fields) from error

    @cached_property
    def _delicate(self) -> list[tuple[int, Field]]:
        """The fields whose type has values that PostgreSQL, or Python on the way back, can't hold."""
        return [(at, field) for at, field in enumerate(self.fields) if field.kind in ("datetime", "array_float_2d")]

    def _storable(self, values: tuple[Any, ...], row: msgspec.Raw) -> tuple[Any, ...]:
        for at, field in self._delicate:
            value = values[at]
            if isinstance(value, datetime) and not EARLIEST <= value <= LATEST:
                raise Rejected("out_of_range", field.name, f"{value.isoformat()} is not between year 1 and 9999.")
            if isinstance(value, list) and len({len(line) for line in value}) > 1:
                raise Rejected("wrong_length", field.name, "The lists inside the list differ in length.")
        if b"\\u0000" in bytes(row):
            for value, field in zip(values, self.fields, strict=True):
                if isinstance(value, str) and "\0" in value:
                    raise Rejected("nul_character", field.name, "A NUL character can't be stored by PostgreSQL.")
        return values

    def _lenient(self, row: msgspec.Raw, error: Exception) -> tuple[Any, ...]:
        """Take what JSON Schema takes too: whole floats as integers, and offsets like +0200."""
        try:
            given = msgspec.json.decode(row)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _rejected(error, self.fields) from error
        if not isinstance(given, dict):
            raise _rejected(error, self.fields)
        try:
            kinds = {field.name: field.kind for field in self.fields}
            eased = {name: _eased(kinds.get(name), value) for name, value in given.items()}
            return msgspec.structs.astuple(self.decoder.decode(msgspec.json.encode(eased)))
        except msgspec.DecodeError as second:
            raise _rejected(second, self.fields) from second


def split(body: bytes) -> list[msgspec.Raw]:
    """The rows of a JSON array, undecoded. Raises InvalidInput when it is none."""
    try:
        return msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.InvalidInput(f"The body is no JSON array of objects: {error}") from error


def sample_shape(columns: Columns) -> Shape:
    """A sample: id, time, prediction and every feature required; additional columns and probabilities not."""
    length = len(columns.classes or ()) or None
    return _shape(
        (
            Field(SAMPLE_ID, "categorical", is_nullable=False),
            Field(TIME, "datetime", is_nullable=False),
            Field(PREDICTION, columns.model[PREDICTION], is_nullable=False),
            *(Field(name, kind) for name, kind in columns.features.items()),
            *(Field(name, kind, is_required=False) for name, kind in columns.additional.items()),
            *(Field(PROBABILITIES, "array_float", False, length=length) for _ in [0] if PROBABILITIES in columns.model),
        )
    )


def reference_shape(columns: Columns, given: Sequence[str]) -> Shape:
    """A reference row as a list, in the order of the `given` names. Raises Rejected when they are not the version's."""
    known = {
        PREDICTION: Field(PREDICTION, columns.model[PREDICTION], is_nullable=False),
        LABEL: Field(LABEL, columns.label_type),
        **{name: Field(name, kind) for name, kind in columns.own.items()},
    }
    if PROBABILITIES in columns.model:
        known[PROBABILITIES] = Field(PROBABILITIES, "array_float", length=len(columns.classes or ()))
    for name in given:
        if name not in known:
            raise Rejected("unknown_field", name, f"The version has no column {name!r}.")
    for name in (PREDICTION, *columns.features):
        if name not in given:
            raise Rejected("missing_feature", name, f"The column {name!r} is missing.")
    for name in given:
        if given.count(name) > 1:
            raise Rejected("malformed", name, f"The column {name!r} is there twice.")
    return _shape(tuple(known[name] for name in given), array_like=True)


def label_shape(columns_are_regression: bool) -> Shape:
    """A label: the sample's id and its label, which may be null."""
    return _label_shape(columns_are_regression)


@lru_cache(maxsize=2)
def _label_shape(is_regression: bool) -> Shape:
    label = float | None if is_regression else str | int | float | None
    struct = msgspec.defstruct(
        "Label",
        [("id", Annotated[str, Meta(min_length=1, max_length=LONGEST_ID)]), ("label", label)],
        rename={"id": SAMPLE_ID, "label": LABEL},
        forbid_unknown_fields=True,
    )
    fields = (Field(SAMPLE_ID, "categorical"), Field(LABEL, "numeric" if is_regression else "categorical"))
    return Shape(fields, msgspec.json.Decoder(struct))


@lru_cache(maxsize=512)
def _shape(fields: tuple[Field, ...], array_like: bool = False) -> Shape:
    names = {f"f{number}": field for number, field in enumerate(fields)}
    struct = msgspec.defstruct(
        "Row",
        [
            (attribute, field.python, NODEFAULT if field.is_required or array_like else None)
            for attribute, field in names.items()
        ],
        rename={attribute: _wire_name(number, field) for number, (attribute, field) in enumerate(names.items())},
        forbid_unknown_fields=True,
        array_like=array_like,
        gc=False,
    )
    return Shape(fields, msgspec.json.Decoder(struct))


def _is_awkward(name: str) -> bool:
    return any(character in '\\"' or character < " " for character in name)


def _wire_name(number: int, field: Field) -> str:
    """The name that msgspec looks for: the field's, or a private one where msgspec does not take it."""
    return f"\ue000{number}" if _is_awkward(field.name) else field.name


def _eased(kind: str | None, value: Any) -> Any:
    if kind in ("integer", "bigint") and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "datetime" and isinstance(value, str):
        try:
            return datetime.fromisoformat(value).astimezone(UTC) if re.search(r"[+-]\d{4}$", value) else value
        except (ValueError, OverflowError):
            return value
    return value


def _rejected(error: Exception, fields: Sequence[Field]) -> Rejected:
    """Give msgspec's message a reason code and the field's name."""
    said = str(error)
    path = re.search(r"\$\.(.+?)(?:\[\.\.\.\])*`?$|\$\[(\d+)\]", said)
    named = re.search(r"field `(.+)`(?: - at `\$`)?$", said, re.DOTALL)
    field = named[1] if named else None
    if field is None and path:
        field = path[1] if path[1] else fields[int(path[2])].name if int(path[2]) < len(fields) else None
    if field is not None and field not in {each.name for each in fields}:
        field = re.sub(r"(\[\d+\])+$", "", field)
    if "missing required" in said:
        return Rejected("missing_feature", field, f"The field {field!r} is missing.")
    if "unknown field" in said:
        return Rejected("unknown_field", field, f"The version has no column {field!r}.")
    if "length" in said:
        return Rejected("wrong_length", field, said)
    if re.search(r"out of range|>=|<=", said):
        return Rejected("out_of_range", field, said)
    if said.startswith(("Expected", "Invalid RFC3339", "Invalid")):
        return Rejected("wrong_type", field, said)
    return Rejected("malformed", field, said)
