"""Decoding rows: typed by a version's columns, each bad row set apart with a reason, never its batch."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import NODEFAULT, Meta, Raw

from dcmon import elements, errors
from dcmon.columns import LABEL, PREDICTION, PROBABILITIES, SAMPLE_ID, TIME, TYPES, Columns

LONGEST_ID = 1024
LONGEST_ROW = 900_000  # bytes: what a broker takes by default, less what a message says beside its rows
LONGEST_WORDS = 1000  # characters of what is said about a row
AT_ONCE, PIECE = 200, 130_000  # rows, bytes that are decoded in one call: what fits a processor's cache
# A day inside what Python holds, so that a time can be read back in any time zone.
EARLIEST, LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)

TOO_LONG = "_dc_too_long"
# What msgspec says, and the reason code for it; the first that fits.
REASONS = (
    (r"`str` of length <=", "too_long"),
    (r"`str` of length >=", "wrong_type"),
    (r"length", "wrong_length"),
    (r"out of range|>=|<=", "out_of_range"),
    (r"^(Expected|Invalid)", "wrong_type"),
    (r"", "malformed"),
)

__all__ = [
    "LONGEST_ID", "LONGEST_ROW", "Array", "Field", "Raw", "Rejected", "Shape",
    "carried", "label_shape", "reference_shape", "sample_shape", "split",
]  # fmt: skip


class Rejected(Exception):
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
        exact = Meta(min_length=self.length, max_length=self.length)
        python = TYPES[self.kind].python if self.length is None else Annotated[list[float], exact]
        return python | None if self.is_nullable else python


@dataclass(frozen=True)
class Shape:
    """Rows with these fields, decoded into tuples of values in the order of the fields.

    `classes`: what a prediction may be; None: anything. A label may always be another class.
    """

    fields: tuple[Field, ...]
    decoder: "msgspec.json.Decoder[msgspec.Struct]"
    classes: frozenset[str] | None = None

    @property
    def names(self) -> list[str]:
        return [field.name for field in self.fields]

    def decode(self, row: msgspec.Raw) -> tuple[Any, ...]:
        """The values of one row. Raises Rejected."""
        return self._decode_renamed(row) if self._stand_ins else self._decode(row)

    def _decode(self, row: msgspec.Raw) -> tuple[Any, ...]:
        try:
            values = msgspec.structs.astuple(self.decoder.decode(row))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            values = self._lenient(row, error)
        return self._storable(values, row)

    def decode_all(self, rows: Sequence[msgspec.Raw]) -> Iterator[list["tuple[Any, ...] | Rejected"]]:
        """The values of each row, or why it has none; some hundred rows at a time."""
        if isinstance(rows, Array) and not rows.is_split:
            yield from self._decode_pieces(rows)
            return
        for first in range(0, len(rows), AT_ONCE):
            part = rows[first : first + AT_ONCE]
            found = self._decode_together(b"[" + b",".join(part) + b"]", part)
            yield found if found and len(found) == len(part) else [self._attempt(row) for row in part]

    def _decode_pieces(self, rows: "Array") -> Iterator[list["tuple[Any, ...] | Rejected"]]:
        done = 0
        for piece in rows.pieces():
            found = self._decode_together(piece)
            if not found:
                yield from self.decode_all(rows.rows[done:])
                return
            yield found
            done += len(found)
        rows.is_sound = True

    def _decode_together(
        self, array: bytes, rows: Sequence[msgspec.Raw] = ()
    ) -> list[tuple[Any, ...] | Rejected] | None:
        """The rows of an array in one call, which costs half; None when one of them is bad, or needs a closer look."""
        if self._stand_ins or self._delicate or _may_have_nul(array):
            return None
        if len(array) > LONGEST_ROW and not (rows and all(len(bytes(row)) <= LONGEST_ROW for row in rows)):
            return None
        try:
            found: list[tuple[Any, ...] | Rejected] = [msgspec.structs.astuple(row) for row in self._all.decode(array)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return found if self._have_known_classes(found) else None

    def _have_known_classes(self, decoded: Iterable[Any]) -> bool:
        return self.classes is None or self.classes.issuperset([values[self._predicted] for values in decoded])

    def _attempt(self, row: msgspec.Raw) -> "tuple[Any, ...] | Rejected":
        try:
            return self.decode(row)
        except Rejected as why:
            return why

    @cached_property
    def _all(self) -> "msgspec.json.Decoder[list[msgspec.Struct]]":
        return msgspec.json.Decoder(list[self.decoder.type])  # type: ignore[name-defined]

    @cached_property
    def _stand_ins(self) -> dict[str, str]:
        """Names that msgspec can't look for, and what it looks for instead."""
        return {field.name: _wire_name(at, field) for at, field in enumerate(self.fields) if _is_awkward(field.name)}

    def _decode_renamed(self, row: msgspec.Raw) -> tuple[Any, ...]:
        try:
            given = msgspec.json.decode(row, type=dict[str, msgspec.Raw])
            renamed = msgspec.json.encode({self._stand_ins.get(name, name): value for name, value in given.items()})
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._unreadable(row, error) from error
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
            values = msgspec.structs.astuple(self.decoder.decode(row))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            values = self._lenient_list(row, error)
        return self._storable(values, row)

    def _lenient_list(self, row: msgspec.Raw, error: Exception) -> tuple[Any, ...]:
        try:
            given = msgspec.json.decode(row)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._unreadable(row, error) from error
        if not isinstance(given, list) or len(given) != len(self.fields):
            raise Rejected("wrong_type", None, f"A row is a list of {len(self.fields)} values, as many as columns.")
        eased = [_eased(field.kind, value) for field, value in zip(self.fields, given, strict=True)]
        try:
            return msgspec.structs.astuple(self.decoder.decode(msgspec.json.encode(eased)))
        except msgspec.DecodeError as second:
            raise _rejected(second, self.fields) from second

    @cached_property
    def _delicate(self) -> list[tuple[int, Field]]:
        """The fields whose type has values that PostgreSQL, or Python on the way back, can't hold.

        Not a sample's time: that has narrower bounds, which depend on when it came (dcmon.samples).
        """
        kinds = ("datetime", "array_float_2d")
        return [(at, field) for at, field in enumerate(self.fields) if field.kind in kinds and field.name != TIME]

    @cached_property
    def _predicted(self) -> int | None:
        """Where the prediction stands, when it has to be one of the classes."""
        return self.names.index(PREDICTION) if self.classes else None

    def _storable(self, values: tuple[Any, ...], row: msgspec.Raw) -> tuple[Any, ...]:
        for at, field in self._delicate:
            value = values[at]
            if isinstance(value, datetime) and not EARLIEST <= value <= LATEST:
                raise Rejected("out_of_range", field.name, f"{value.isoformat()} is not between year 1 and 9999.")
            if isinstance(value, list) and value and (not value[0] or len({len(line) for line in value}) > 1):
                raise Rejected("wrong_length", field.name, "The lists inside the list are empty, or differ in length.")
        if self._predicted is not None and values[self._predicted] not in self.classes:  # type: ignore[operator]
            said = f"{values[self._predicted]!r} is none of the version's classes."
            raise Rejected("unknown_class", PREDICTION, said)
        raw = bytes(row)
        if len(raw) > LONGEST_ROW:
            raise Rejected("too_long", None, f"A row has at most {LONGEST_ROW:,} bytes, not {len(raw):,}.")
        if _may_have_nul(raw):
            for value, field in zip(values, self.fields, strict=True):
                if isinstance(value, str) and "\0" in value:
                    raise Rejected("nul_character", field.name, "A NUL character can't be stored by PostgreSQL.")
        return values

    def _lenient(self, row: msgspec.Raw, error: Exception) -> tuple[Any, ...]:
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

    def _unreadable(self, row: msgspec.Raw, error: Exception) -> Rejected:
        """Say which field is NaN, for that is what Python's json writes and no other JSON has."""
        try:
            given = json.loads(bytes(row), parse_constant=_Constant)
        except (ValueError, RecursionError):
            return _rejected(error, self.fields)
        named = given.items() if isinstance(given, dict) else enumerate(given) if isinstance(given, list) else ()
        for at, value in named:
            if isinstance(value, _Constant):
                name = self.names[at] if isinstance(at, int) and at < len(self.fields) else str(at)
                return Rejected("malformed", name, f"{name!r} is {value}, which JSON has not: send null.")
        return _rejected(error, self.fields)


class _Constant(str):
    """NaN, Infinity or -Infinity, as Python's json writes them."""


class Array(Sequence[msgspec.Raw]):
    """The rows of a JSON array, which is split only when one of them is asked for: to decode it as it is costs less.

    `view` begins with "[" and ends with "]". `is_sound`: it is known to be a JSON array. Where it is none, asking for a
    row, or for their number, raises InvalidInput.
    """

    def __init__(self, view: memoryview) -> None:
        self._view, self.is_sound = view, False
        self._rows: list[msgspec.Raw] | None = None

    @property
    def text(self) -> bytes:
        """The array; not kept, for it is as large as the message that it is seen in."""
        return bytes(self._view)

    def pieces(self) -> Iterator[bytes]:
        """The array in arrays that fit a processor's cache, cut where it seems that a row ends.

        If each of them is an array of rows, then so is the whole, and these are its rows.
        """
        text, begin, end = self.text, 1, len(self._view) - 1
        while (cut := text.find(b"},", begin + PIECE, end)) >= 0:
            yield b"[" + text[begin : cut + 1] + b"]"
            begin = cut + 2
        yield b"[" + text[begin:]

    @property
    def is_split(self) -> bool:
        return self._rows is not None

    @property
    def rows(self) -> list[msgspec.Raw]:
        """All rows, undecoded."""
        if self._rows is None:
            self._rows, self.is_sound = split(self.text), True
        return self._rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: Any) -> Any:
        return self.rows[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self.rows == list(other)

    __hash__ = None  # type: ignore[assignment]


def split(body: bytes) -> list[msgspec.Raw]:
    """The rows of a JSON array, undecoded. One that is no JSON is a row all the same. Raises InvalidInput."""
    try:
        return msgspec.json.decode(body, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _split_leniently(body, error)


def _split_leniently(body: bytes, why: Exception) -> list[msgspec.Raw]:
    begins = len(body) - len(body.lstrip())
    try:
        if body[begins : begins + 1] != b"[":
            raise why
        found, end = elements.elements(body, begins)
        if body[end:].strip():
            raise why
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, elements.Unbalanced) as error:
        raise errors.InvalidInput(f"The body is no JSON array of objects: {error}") from error
    return found


def carried(rows: Sequence[msgspec.Raw]) -> list[msgspec.Raw]:
    """Rows that fit into messages. One that is too long is cut: what is left of it is quarantined as too_long."""
    return [row if len(memoryview(row)) <= LONGEST_ROW else _cut(row) for row in rows]  # type: ignore[arg-type]


def _cut(row: msgspec.Raw) -> msgspec.Raw:
    raw = bytes(row)
    begins = raw[:10_000].decode(errors="replace")
    return msgspec.Raw(msgspec.json.encode({TOO_LONG: len(raw), "_dc_begins": begins}))


def sample_shape(columns: Columns) -> Shape:
    """A sample: id, time, prediction and every feature required; additional columns and probabilities not."""
    length = len(columns.classes or ()) or None
    return _shape(
        fields=(
            Field(SAMPLE_ID, "categorical", is_nullable=False),
            Field(TIME, "datetime", is_nullable=False),
            Field(PREDICTION, columns.model[PREDICTION], is_nullable=False),
            *(Field(name, kind) for name, kind in columns.features.items()),
            *(Field(name, kind, is_required=False) for name, kind in columns.additional.items()),
            *(Field(PROBABILITIES, "array_float", False, length=length) for _ in [0] if PROBABILITIES in columns.model),
        ),
        classes=_classes(columns),
    )


def _classes(columns: Columns) -> frozenset[str] | None:
    return frozenset(columns.classes) if columns.classes and not columns.is_regression else None


def reference_shape(columns: Columns, given: Sequence[str] | None = None) -> Shape:
    """A reference row: a list in the order of the `given` names, or an object when none are given.

    Raises Rejected when the names are not the version's.
    """
    known = {
        PREDICTION: Field(PREDICTION, columns.model[PREDICTION], is_nullable=False),
        LABEL: Field(LABEL, columns.label_type, is_required=False),
        **{name: Field(name, kind, name in columns.features) for name, kind in columns.own.items()},
    }
    if PROBABILITIES in columns.model:
        length = len(columns.classes or ())
        known[PROBABILITIES] = Field(PROBABILITIES, "array_float", is_required=False, length=length)
    if given is None:
        return _shape(tuple(sorted(known.values(), key=lambda field: not field.is_required)), classes=_classes(columns))
    _require_columns(columns, known, given)
    return _shape(tuple(known[name] for name in given), array_like=True, classes=_classes(columns))


def _require_columns(columns: Columns, known: Collection[str], given: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise Rejected("unknown_field", name, f"The version has no column {name!r}.")
    for name in (PREDICTION, *columns.features):
        if name not in given:
            raise Rejected("missing_feature", name, f"The column {name!r} is missing.")
    for name in given:
        if given.count(name) > 1:
            raise Rejected("malformed", name, f"The column {name!r} is there twice.")


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
def _shape(fields: tuple[Field, ...], array_like: bool = False, classes: frozenset[str] | None = None) -> Shape:
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
    return Shape(fields, msgspec.json.Decoder(struct), classes)


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


def _rejected(error: Exception, fields: Sequence[Field]) -> Rejected:
    """Give msgspec's message a reason code and the field's name."""
    said = str(error)
    field = _field(said, fields)
    if field == TOO_LONG:
        return Rejected("too_long", None, f"The row is longer than {LONGEST_ROW:,} bytes; only its beginning is here.")
    if "missing required" in said:
        return Rejected("missing_feature", field, f"The field {field!r} is missing.")
    if "unknown field" in said:
        return Rejected("unknown_field", field, f"The version has no column {field!r}.")
    reason = next(reason for pattern, reason in REASONS if re.search(pattern, said))
    return Rejected(reason, field, said)


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
