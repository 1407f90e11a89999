"""Files of rows: CSV, Parquet and JSON lines, read piece by piece as JSON rows with the fields of a version."""

import gzip
import io
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from hashlib import blake2b
from os import fstat
from pathlib import Path, PurePath
from typing import Any, BinaryIO, TypeVar

import msgspec

from dcmon import conversion, delimited, errors
from dcmon.columns import LABEL, PREDICTION, SAMPLE_ID, TIME, Columns
from dcmon.delimited import Garbled, Malformed

STDIN = "-"
ROWS_AT_ONCE = 10_000
IGNORED, EVERYTHING_ELSE = "", "*"  # in a mapping: the column is not read; any column not named
SUFFIXES = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
FORMATS = tuple(sorted(set(SUFFIXES.values())))
TORN = (EOFError, gzip.BadGzipFile, zlib.error)

Row = dict[str, Any] | Malformed
T = TypeVar("T")
_encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True)
class Layout:
    """What rows of a file hold: the fields there may be, with their types; which must be; the user's column names."""

    kinds: Mapping[str, str]
    required: Sequence[str]
    mapping: Mapping[str, str]
    kind: str  # samples, labels or reference

    def arrange(self, names: Sequence[str]) -> dict[str, str]:
        """The field that each column of a file is for, without those that are ignored.

        Raises InvalidInput when a column is missing, there twice or for nothing: a typing error must not lose a column.
        """
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise errors.InvalidInput(f"The file has the column {twice[0]!r} twice.")
        fields = {name: self.field(name) for name in names}
        unknown = [name for name, found in fields.items() if found is None]
        missing = sorted(set(self.required) - set(fields.values()))
        said = f" It has no column for {', '.join(missing)}." if missing else ""
        said += f" It has {', '.join(unknown)}, for which there is no field." if unknown else ""
        if absent := sorted(set(self.mapping) - set(names) - {EVERYTHING_ELSE}):
            said += f" It has no column {', '.join(absent)} to be mapped."
        if said:
            raise errors.InvalidInput(
                f"The file's columns are not those of the {self.kind}.{said} Map a column with --map COLUMN=FIELD,"
                " leave one out with --map COLUMN=, and the others with --ignore-extra."
            )
        found = {name: found for name, found in fields.items() if found}
        if len(set(found.values())) < len(found):
            raise errors.InvalidInput("Two columns of the file are mapped to the same field.")
        return found

    def field(self, name: str) -> str | None:
        """The field of a column; "" when it is ignored; None when there is none."""
        found = self.mapping.get(name, name)
        if found in self.kinds or found == IGNORED:
            return found
        return self.mapping.get(EVERYTHING_ELSE)


def layout(columns: Columns, kind: str, mapping: Mapping[str, str]) -> Layout:
    """The layout of a file of samples, which may hold labels too, of labels, or of a reference. Raises InvalidInput."""
    kinds = {LABEL: _class_or(columns.label_type, columns)}
    required: Sequence[str] = (SAMPLE_ID, LABEL)
    if kind != "labels":
        kinds |= {**columns.model, **columns.own}
        kinds[PREDICTION] = _class_or(kinds[PREDICTION], columns)
        required = (PREDICTION, *columns.features)
    if kind == "samples":
        required = (SAMPLE_ID, TIME, *required)
    if kind != "reference":
        kinds |= {SAMPLE_ID: "categorical", TIME: "datetime"} if kind == "samples" else {SAMPLE_ID: "categorical"}
    for column, name in mapping.items():
        if name != IGNORED and (name not in kinds or column == EVERYTHING_ELSE):
            raise errors.InvalidInput(f"There is no field {name!r} to map {column!r} to: it is one of {_few(kinds)}.")
    return Layout(kinds, required, mapping, kind)


def _class_or(kind: str, columns: Columns) -> str:
    """That 1.0 means 1, unless the version has such classes, or numbers."""
    is_written_so = any(conversion.WHOLE.fullmatch(name) for name in columns.classes or ())
    return conversion.CLASS if kind == "categorical" and not is_written_so else kind


def _few(names: Iterable[str], most: int = 12) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


@dataclass
class Chunk:
    """Consecutive rows of a file, counted from `first_row`: samples, and the labels that stand beside them."""

    first_row: int
    next_row: int
    samples: dict[int, msgspec.Raw] = field(default_factory=dict)
    labels: dict[int, msgspec.Raw] = field(default_factory=dict)
    malformed: dict[int, Malformed] = field(default_factory=dict)

    def since(self, row: int) -> "Chunk":
        """What of it begins at a row or later."""
        if row <= self.first_row:
            return self
        return Chunk(
            row, self.next_row, _since(self.samples, row), _since(self.labels, row), _since(self.malformed, row)
        )


def _since(rows: dict[int, T], row: int) -> dict[int, T]:
    return {at: each for at, each in rows.items() if at >= row}


@dataclass
class File:
    """A file that is open for reading; `content` is a digest of its bytes. Parquet says how many rows it has."""

    path: str
    format: str
    stream: BinaryIO
    size: int
    content: str
    changed_at: int
    row_count: int | None = None

    def chunks(self, layout: Layout, skip: int = 0, rows: int = ROWS_AT_ONCE) -> Iterator[Chunk]:
        """Its rows from `skip` on, at most `rows` at a time. Raises InvalidInput when it is not what it should be."""
        self.stream.seek(0)
        chunk, number = Chunk(skip, skip), -1
        for number, row in enumerate(_READERS[self.format](self, layout)):
            if number < skip:
                continue
            _put(chunk, number, row, layout)
            if number + 1 - chunk.first_row >= rows:
                yield self._whole(chunk, number + 1)
                chunk = Chunk(number + 1, number + 1)
        if number + 1 > chunk.first_row:
            yield self._whole(chunk, number + 1)

    def reference_rows(self, layout: Layout) -> Iterator[msgspec.Raw]:
        """The rows of a reference, all of which must be readable. Raises InvalidInput."""
        for chunk in self.chunks(layout):
            for number, why in chunk.malformed.items():
                raise errors.InvalidInput(f"Row {number} of {self.path} can't be read: {why.why} Nothing was stored.")
            yield from chunk.samples.values()

    def _whole(self, chunk: Chunk, next_row: int) -> Chunk:
        """Rows are only handed out while the file is the one whose digest they are known by."""
        now = fstat(self.stream.fileno())
        if (now.st_size, now.st_mtime_ns) != (self.size, self.changed_at):
            raise errors.FileChanged(path=self.path)
        chunk.next_row = next_row
        return chunk

    def position(self, row: int) -> int:
        """How many of its bytes lie before a row that was just read; about, where rows are not read in order."""
        return self.size * row // self.row_count if self.row_count else self.stream.tell()

    @contextmanager
    def plain(self) -> Iterator[BinaryIO]:
        """Its bytes, unpacked when they are gzip's. What it closes is not the file."""
        is_packed = self.stream.read(2) == b"\x1f\x8b"
        self.stream.seek(0)
        if not is_packed:
            yield self.stream
            return
        with gzip.GzipFile(fileobj=self.stream) as unpacked:
            try:
                yield unpacked  # type: ignore[misc]  # reads like a BinaryIO
            except TORN as error:
                raise errors.InvalidInput(f"{self.path} can't be unpacked to its end: {error}") from error


def format_of(path: str) -> str | None:
    """The format that a name says: data.csv, data.csv.gz; None when it says none."""
    name = PurePath(path.lower())
    return SUFFIXES.get((name.with_suffix("") if name.suffix == ".gz" else name).suffix)


@contextmanager
def opened(path: str, format: str | None = None, *, stream: BinaryIO | None = None) -> Iterator[File]:
    """Open a file for reading; "-" is the standard input, which is first copied to a temporary file.

    `stream`: its bytes, when `path` is not a path of this machine. Raises InvalidInput, NotFound, FileRefused.
    """
    chosen = format or format_of(path)
    if chosen not in FORMATS:
        said = "can't be told from its name" if chosen is None else f"can't be {chosen!r}"
        raise errors.InvalidInput(
            f"The format of {path} {said}: say --format {', '.join(FORMATS[:-1])} or {FORMATS[-1]}."
        )
    with nullcontext(stream) if stream else _standard_input() if path == STDIN else opened_bytes(Path(path)) as bytes_:
        digest, about = blake2b(digest_size=16), fstat(bytes_.fileno())
        while block := bytes_.read(2**20):
            digest.update(block)
        yield File(path, chosen, bytes_, about.st_size, digest.hexdigest(), about.st_mtime_ns)


@contextmanager
def _standard_input() -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile(prefix="dcmon-") as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.seek(0)
        yield copy


@contextmanager
def opened_bytes(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file of this machine. Raises NotFound or FileRefused."""
    try:
        stream = path.open("rb")
    except FileNotFoundError as error:
        raise errors.NotFound(what="file", name=str(path)) from error
    except OSError as error:
        raise errors.FileRefused(path=path, why=error.strerror or str(error)) from error
    with stream:
        yield stream


def _put(chunk: Chunk, number: int, row: Row, layout: Layout) -> None:
    if isinstance(row, Malformed):
        chunk.malformed[number] = row
        return
    if layout.kind != "samples":
        (chunk.labels if layout.kind == "labels" else chunk.samples)[number] = _json(row)
        return
    label, sample_id = row.pop(LABEL, None), row.get(SAMPLE_ID)
    chunk.samples[number] = _json(row)
    if label is not None and sample_id is not None:
        chunk.labels[number] = _json({SAMPLE_ID: sample_id, LABEL: label})


def _json(row: Mapping[str, Any]) -> msgspec.Raw:
    try:
        return msgspec.Raw(_encode(row))
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError, RecursionError):
        return msgspec.Raw(_escaped(row))


def _escaped(row: Mapping[str, Any]) -> bytes:
    """A row that has values no JSON has (bytes that are no text, endless numbers): readable, and rejected as a row."""
    import json

    return json.dumps({name: _printable(value) for name, value in row.items()}, default=repr).encode()


def _printable(value: Any) -> Any:
    return bytes(value).decode(errors="replace") if isinstance(value, msgspec.Raw) else value


def _csv(file: File, layout: Layout) -> Iterator[Row]:
    with file.plain() as plain:
        text = io.TextIOWrapper(plain, encoding="utf-8-sig", errors="surrogateescape", newline="")
        try:
            yield from _typed(delimited.records(text), layout, file.path)
        finally:
            text.detach()


def _typed(records: Iterator[list[str] | Garbled | Malformed], layout: Layout, path: str) -> Iterator[Row]:
    header = _header(next(records, None), path)
    fields = layout.arrange(header)
    plan = [
        (at, fields[name], conversion.from_text(layout.kinds[fields[name]]))
        for at, name in enumerate(header)
        if name in fields
    ]
    for record in records:
        if isinstance(record, Malformed):
            yield record
            continue
        cells = record
        if isinstance(record, Garbled):
            cells, named = record.cells, {name: record.cells[at] for at, name, _ in plan}
            if malformed := _garbled(record, named):
                yield malformed
                continue
        yield {name: convert(cell) if (cell := cells[at]) else None for at, name, convert in plan}


def _header(found: list[str] | Garbled | Malformed | None, path: str) -> list[str]:
    if found is None:
        raise errors.InvalidInput(f"{path} is empty: a CSV begins with a header.")
    if isinstance(found, Garbled):
        raise errors.InvalidInput(f"The header of {path} is no UTF-8.")
    if isinstance(found, Malformed):
        raise errors.InvalidInput(f"{path} begins with no header of a CSV: {found.why}")
    return found


def _garbled(record: Garbled, named: Mapping[str, str]) -> Malformed | None:
    """The record as malformed; None when what is no UTF-8 stands only in columns that are left out."""
    field = next((name for name, cell in named.items() if delimited.is_garbled(cell)), None)
    if field is None:
        return None
    sample_id = named.get(SAMPLE_ID)
    known = sample_id if sample_id and not delimited.is_garbled(sample_id) else None
    return Malformed(record.row, f"{field!r} has bytes that are no UTF-8.", field, known)


def _jsonl(file: File, layout: Layout) -> Iterator[Row]:
    converters = {name: conversion.from_value(kind) for name, kind in layout.kinds.items()}
    with file.plain() as plain:
        while line := plain.readline(delimited.LONGEST_LINE):
            if line.strip():
                yield _object(line, layout, converters)


def _object(line: bytes, layout: Layout, converters: Mapping[str, conversion.Converter]) -> Row:
    try:
        given = _decoded(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Malformed(line.rstrip(b"\r\n"), f"The line is no JSON object: {error}.")
    row = {}
    for name, value in given.items():
        found = layout.field(name)
        if found == IGNORED:
            continue
        # A field that the version does not have is the row's fault: its decoder says so.
        convert = converters.get(found) if found and value is not None else None
        row[found or name] = convert(value) if convert else value
    return row


def _decoded(line: bytes) -> dict[str, Any]:
    """The values of a JSON object; one that Python has no number for (1e309) as it is written. Raises DecodeError."""
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError:
        return {name: _value(written) for name, written in _raw(line).items()}


_raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _value(written: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(written)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return written


def _parquet(file: File, layout: Layout) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(file.stream)
        file.row_count, fields = table.metadata.num_rows, layout.arrange(table.schema_arrow.names)
        for batch in table.iter_batches(ROWS_AT_ONCE, columns=list(fields)):
            values = [_column(batch.column(name), layout.kinds[found]) for name, found in fields.items()]
            yield from (dict(zip(fields.values(), row, strict=True)) for row in zip(*values, strict=True))
    except (pyarrow.ArrowException, OSError) as error:
        raise errors.InvalidInput(f"{file.path} can't be read as Parquet: {error}") from error


def _column(column: Any, kind: str) -> list[Any]:
    """The values of a column of Arrow as those of its type."""
    import pyarrow

    if pyarrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pyarrow.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pyarrow.timestamp("us", column.type.tz), safe=False)
    convert = conversion.from_value(kind)
    try:
        values = column.to_pylist()
    except (OverflowError, ValueError):
        values = [_python(scalar) for scalar in column]
    return [None if value is None else convert(value) for value in values]


def _python(scalar: Any) -> Any:
    """A value of Arrow; where Python has none for it (the year 30000), one that no column takes: it costs its row."""
    try:
        return scalar.as_py()
    except (OverflowError, ValueError):
        return {"out of range": str(scalar.type)}


_READERS: dict[str, Callable[[File, Layout], Iterator[Row]]] = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}
