"""Decoding rows: typed by a version's columns, each bad row set apart with a reason, never its batch."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import NODEFAULT, Meta, Raw

from dcmon.ingestion.raw_rows import MAX_ROW_BYTES, TOO_LONG, RowArray
from dcmon.storage.columns import PREDICTION, TIME, TYPES

LONGEST_ID = 1024
LONGEST_WORDS = 1000  # characters of what is said about a row
AT_ONCE = 200  # rows that are decoded in one call: what fits a processor's cache
# A day inside what Python holds, so that a time can be read back in any time zone.
EARLIEST, LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)

# What msgspec says, and the reason code for it; the first that fits.
REASONS = (
    (r"`str` of length <=", "too_long"),
    (r"`str` of length >=", "wrong_type"),
    (r"length", "wrong_length"),
    (r"out of range|>=|<=", "out_of_range"),
    (r"^(Expected|Invalid)", "wrong_type"),
    (r"", "malformed"),
)


class RejectedRow(Exception):
    """A row that can't be stored: why (a code), in which field, and in words."""

    def __init__(self, reason: str, field: str | None, detail: str) -> None:
        super().__init__(detail[:LONGEST_WORDS])
        self.reason, self.field, self.detail = reason, field and field[:LONGEST_WORDS], detail[:LONGEST_WORDS]


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
        """Its type, as msgspec decodes it."""
        exact = Meta(min_length=self.length, max_length=self.length)
        python = TYPES[self.kind].python if self.length is None else Annotated[list[float], exact]
        return python | None if self.is_nullable else python


@dataclass(frozen=True)
class RowType:
    """Rows with these fields, decoded into tuples of values in the order of the fields.

    `classes`: what a prediction may be; None: anything. A label may always be another class.
    """

    fields: tuple[Field, ...]
    decoder: "msgspec.json.Decoder[msgspec.Struct]"
    classes: frozenset[str] | None = None

    @property
    def names(self) -> list[str]:
        return [field.name for field in self.fields]

    def decode(self, row: Raw) -> tuple[Any, ...]:
        """The values of one row. Raises RejectedRow."""
        return self._decode_renamed(row) if self._stand_ins else self._decode(row)

    def _decode(self, row: Raw) -> tuple[Any, ...]:
        try:
            values = msgspec.structs.astuple(self.decoder.decode(row))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            values = self._lenient(row, error)
        return self._storable(values, row)

    def decode_all(self, rows: Sequence[Raw]) -> Iterator[list["tuple[Any, ...] | RejectedRow"]]:
        """The values of each row, or why it has none; some hundred rows at a time."""
        if isinstance(rows, RowArray) and not rows.is_split:
            yield from self._decode_pieces(rows)
            return
        for first in range(0, len(rows), AT_ONCE):
            part = rows[first : first + AT_ONCE]
            found = self._decode_together(b"[" + b",".join(part) + b"]", part)
            yield found if found and len(found) == len(part) else [self._attempt(row) for row in part]

    def _decode_pieces(self, rows: RowArray) -> Iterator[list["tuple[Any, ...] | RejectedRow"]]:
        done = 0
        for piece in rows.pieces():
            found = self._decode_together(piece)
            if not found:
                yield from self.decode_all(rows.rows[done:])
                return
            yield found
            done += len(found)
        rows.is_sound = True

    def _decode_together(self, array: bytes, rows: Sequence[Raw] = ()) -> list[tuple[Any, ...] | RejectedRow] | None:
        """The rows of an array in one call, which costs half; None when one of them is bad, or needs a closer look."""
        if self._stand_ins or self._delicate or _may_have_nul(array):
            return None
        if len(array) > MAX_ROW_BYTES and not (rows and all(len(bytes(row)) <= MAX_ROW_BYTES for row in rows)):
            return None
        try:
            found: list[tuple[Any, ...] | RejectedRow] = [
                msgspec.structs.astuple(row) for row in self._all.decode(array)
            ]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return found if self._have_known_classes(found) else None

    def _have_known_classes(self, decoded: Iterable[Any]) -> bool:
        return self.classes is None or self.classes.issuperset([values[self._predicted] for values in decoded])

    def _attempt(self, row: Raw) -> "tuple[Any, ...] | RejectedRow":
        try:
            return self.decode(row)
        except RejectedRow as why:
            return why

    @cached_property
    def _all(self) -> "msgspec.json.Decoder[list[msgspec.Struct]]":
        return msgspec.json.Decoder(list[self.decoder.type])  # type: ignore[name-defined]

    @cached_property
    def _stand_ins(self) -> dict[str, str]:
        """Names that msgspec can't look for, and what it looks for instead."""
        return {field.name: _wire_name(at, field) for at, field in enumerate(self.fields) if _is_awkward(field.name)}

    def _decode_renamed(self, row: Raw) -> tuple[Any, ...]:
        try:
            given = msgspec.json.decode(row, type=dict[str, Raw])
            renamed = msgspec.json.encode({self._stand_ins.get(name, name): value for name, value in given.items()})
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._unreadable(row, error) from error
        try:
            return self._decode(Raw(renamed))
        except RejectedRow as why:
            names = {stand_in: name for name, stand_in in self._stand_ins.items()}
            if why.field not in names:
                raise
            name = names[why.field]
            said = why.detail.replace(repr(why.field), repr(name)).replace(why.field, name)
            raise RejectedRow(why.reason, name, said) from why

    def decode_list(self, row: Raw) -> tuple[Any, ...]:
        """The values of a row that is a list in the order of the fields. Raises RejectedRow."""
        try:
            values = msgspec.structs.astuple(self.decoder.decode(row))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            values = self._lenient_list(row, error)
        return self._storable(values, row)

    def _lenient_list(self, row: Raw, error: Exception) -> tuple[Any, ...]:
        try:
            given = msgspec.json.decode(row)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._unreadable(row, error) from error
        if not isinstance(given, list) or len(given) != len(self.fields):
            raise RejectedRow("wrong_type", None, f"A row is a list of {len(self.fields)} values, as many as columns.")
        eased = [_eased(field.kind, value) for field, value in zip(self.fields, given, strict=True)]
        try:
            return msgspec.structs.astuple(self.decoder.decode(msgspec.json.encode(eased)))
        except msgspec.DecodeError as second:
            raise _rejected(second, self.fields) from second

    @cached_property
    def _delicate(self) -> list[tuple[int, Field]]:
        """The fields whose type has values that PostgreSQL, or Python on the way back, can't hold.

        Not a sample's time: that has narrower bounds, which depend on when it came (dcmon.ingestion.samples).
        """
        kinds = ("datetime", "array_float_2d")
        return [(at, field) for at, field in enumerate(self.fields) if field.kind in kinds and field.name != TIME]

    @cached_property
    def _predicted(self) -> int | None:
        """Where the prediction stands, when it has to be one of the classes."""
        return self.names.index(PREDICTION) if self.classes else None

    def _storable(self, values: tuple[Any, ...], row: Raw) -> tuple[Any, ...]:
        for at, field in self._delicate:
            value = values[at]
            if isinstance(value, datetime) and not EARLIEST <= value <= LATEST:
                raise RejectedRow("out_of_range", field.name, f"{value.isoformat()} is not between year 1 and 9999.")
            if isinstance(value, list) and value and (not value[0] or len({len(line) for line in value}) > 1):
                raise RejectedRow(
                    "wrong_length", field.name, "The lists inside the list are empty, or differ in length."
                )
        if self._predicted is not None and values[self._predicted] not in self.classes:  # type: ignore[operator]
            said = f"{values[self._predicted]!r} is none of the version's classes."
            raise RejectedRow("unknown_class", PREDICTION, said)
        raw = bytes(row)
        if len(raw) > MAX_ROW_BYTES:
            raise RejectedRow("too_long", None, f"A row has at most {MAX_ROW_BYTES:,} bytes, not {len(raw):,}.")
        if _may_have_nul(raw):
            for value, field in zip(values, self.fields, strict=True):
                if isinstance(value, str) and "\0" in value:
                    raise RejectedRow("nul_character", field.name, "A NUL character can't be stored by PostgreSQL.")
        return values

    def _lenient(self, row: Raw, error: Exception) -> tuple[Any, ...]:
        """Take what JSON Schema takes too: whole floats as integers, and offsets like +0200."""
        try:
            given = msgspec.json.decode(row)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._unreadable(row, error) from error
        if not isinstance(given, dict):
            raise _rejected(error, self.fields)
        try:
            kinds = {field.name: field.kind for field in self.fields}
            eased = {name: _eased(kinds.get(name), value) for name, value in given.items()}
            return msgspec.structs.astuple(self.decoder.decode(msgspec.json.encode(eased)))
        except msgspec.DecodeError as second:
            raise _rejected(second, self.fields) from second

    def _unreadable(self, row: Raw, error: Exception) -> RejectedRow:
        """Say which field is NaN, for that is what Python's json writes and no other JSON has."""
        try:
            given = json.loads(bytes(row), parse_constant=_Constant)
        except (ValueError, RecursionError):
            return _rejected(error, self.fields)
        named = given.items() if isinstance(given, dict) else enumerate(given) if isinstance(given, list) else ()
        for at, value in named:
            if isinstance(value, _Constant):
                name = self.names[at] if isinstance(at, int) and at < len(self.fields) else str(at)
                return RejectedRow("malformed", name, f"{name!r} is {value}, which JSON has not: send null.")
        return _rejected(error, self.fields)


class _Constant(str):
    """NaN, Infinity or -Infinity, as Python's json writes them."""


@lru_cache(maxsize=512)
def row_type(fields: tuple[Field, ...], array_like: bool = False, classes: frozenset[str] | None = None) -> RowType:
    """Rows of these fields: objects, or lists of the values in this order (`array_like`). Made once for the same."""
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
    return RowType(fields, msgspec.json.Decoder(struct), classes)


def _may_have_nul(text: bytes) -> bool:
    """Whether there is an escaped NUL in it. To look for one character first is forty times faster than for six."""
    return b"\\" in text and b"\\u0000" in text


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


def _rejected(error: Exception, fields: Sequence[Field]) -> RejectedRow:
    """Give msgspec's message a reason code and the field's name."""
    said = str(error)
    field = _field(said, fields)
    if field == TOO_LONG:
        return RejectedRow(
            "too_long", None, f"The row is longer than {MAX_ROW_BYTES:,} bytes; only its beginning is here."
        )
    if "missing required" in said:
        return RejectedRow("missing_feature", field, f"The field {field!r} is missing.")
    if "unknown field" in said:
        return RejectedRow("unknown_field", field, f"The version has no column {field!r}.")
    reason = next(reason for pattern, reason in REASONS if re.search(pattern, said))
    return RejectedRow(reason, field, said)


def _field(said: str, fields: Sequence[Field]) -> str | None:
    """The field that msgspec's message names, by name or by its place in a list."""
    path = re.search(r"\$\.(.+?)(?:\[\.\.\.\])*`?$|\$\[(\d+)\]", said)
    named = re.search(r"field `(.+)`(?: - at `\$`)?$", said, re.DOTALL)
    field = named[1] if named else None
    if field is None and path:
        field = path[1] if path[1] else fields[int(path[2])].name if int(path[2]) < len(fields) else None
    if field is not None and field not in {each.name for each in fields}:
        field = re.sub(r"(\[\d+\])+$", "", field)
    return field
