"""Read files of rows (CSV, Parquet, JSON lines) in chunks of JSON rows."""

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from os import fstat
from pathlib import Path, PurePath
from typing import Any, BinaryIO, TypeVar

import msgspec

from dcmon import errors, file_errors
from dcmon.ingestion.files import class_columns, compression, constants, encoding, spool
from dcmon.ingestion.files.column_mapping import ColumnMapping, EveryColumn, FileKind
from dcmon.ingestion.files.csv_records import MalformedRow, SkippedRow
from dcmon.ingestion.files.dialect import NO_OPTIONS, TEXT_FORMATS, Dialect
from dcmon.ingestion.files.formats import Row, csv, jsonl, parquet
from dcmon.ingestion.files.proofs import search
from dcmon.ingestion.files.proofs.findings import Proofs
from dcmon.ingestion.files.text_file import TextFile
from dcmon.storage.columns import LABEL, SAMPLE_ID

ROWS_AT_ONCE = 10_000
BLOCK_BYTES = 2**20
DIGEST_LENGTH = 12  # in ids of numbered rows
MAX_MALFORMED = 100  # rows that are skipped to find one with columns
SUFFIXES = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
FORMATS = tuple(sorted(set(SUFFIXES.values())))
WORKBOOKS = frozenset({".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"})

_SKIPPED = {SkippedRow.BLANK: "blank row", SkippedRow.HEADER: "repeated header"}

T = TypeVar("T")
_encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass
class Chunk:
    """Consecutive rows of a file, by their number. `labels` has the labels beside samples.

    `first_row` is the number of the first row, `next_row` the number of the row after the last one. `is_last`: the file
    has no row after it; False if that is not known yet.
    """

    first_row: int
    next_row: int
    samples: dict[int, msgspec.Raw] = field(default_factory=dict)
    labels: dict[int, msgspec.Raw] = field(default_factory=dict)
    malformed: dict[int, MalformedRow] = field(default_factory=dict)
    is_last: bool = False

    def since(self, row: int) -> "Chunk":
        """Return the part of the chunk that begins with this row."""
        if row <= self.first_row:
            return self
        return Chunk(
            row, self.next_row, _since(self.samples, row), _since(self.labels, row), _since(self.malformed, row)
        )


def _since(rows: dict[int, T], first_row: int) -> dict[int, T]:
    return {number: row for number, row in rows.items() if number >= first_row}


@dataclass
class File:
    """An open file. `content` is a digest of its bytes, `dialect` what the operator says about how it is written.

    `notes` has what the file itself shows about how it is written, by subject, and `skipped` the number of its rows
    without content. `row_count` is known only for Parquet. All three are known once rows are read.
    """

    path: str
    format: str
    stream: BinaryIO
    size: int
    content: str
    changed_at: int
    dialect: Dialect = NO_OPTIONS
    row_count: int | None = None
    _proofs: tuple[ColumnMapping, Proofs] | None = None
    notes: dict[str, str] = field(default_factory=dict)
    skipped: Counter[SkippedRow] = field(default_factory=Counter)
    _encoding: str | None = None

    def chunks(self, mapping: ColumnMapping, skip: int = 0, rows: int = ROWS_AT_ONCE) -> Iterator[Chunk]:
        """Yield the rows from number `skip` on, at most `rows` at a time. Raises InvalidInput or FileChanged."""
        proofs = self.proofs(mapping)
        mapping = replace(mapping, field_rules=proofs.field_rules, omitted_fields=proofs.omitted_fields)
        self.stream.seek(0)
        chunk, number, add = Chunk(skip, skip), -1, _ADDERS[mapping.kind]
        for number, row in enumerate(self._rows(mapping)):
            if number < skip:
                continue
            if isinstance(row, dict):
                add(chunk, number, row)
            elif isinstance(row, MalformedRow):
                chunk.malformed[number] = row
            else:
                self.skipped[row] += 1
            if number + 1 - chunk.first_row >= rows:
                yield self._complete(chunk, number + 1)
                chunk = Chunk(number + 1, number + 1)
        if number + 1 > chunk.first_row:
            chunk.is_last = True
            yield self._complete(chunk, number + 1)

    def proofs(self, mapping: ColumnMapping) -> Proofs:
        """Return what the content proves about how values are written. Raises InvalidInput."""
        if self._proofs is None or self._proofs[0] != mapping:
            omits = self.format == "jsonl" and mapping.kind != FileKind.LABELS
            self._proofs = mapping, search.find(self._rows_from_begin, mapping, self.dialect, may_omit_nulls=omits)
        return self._proofs[1]

    def remarks(self, mapping: ColumnMapping) -> list[str]:
        """Return what to say about how the file writes its values: what it proves, and open questions."""
        proofs = self.proofs(mapping)
        lines = self.line_numbers(mapping, proofs.rows())
        return proofs.sentences(lambda row: f"line {lines[row]}" if row in lines else f"row {row}")

    def _rows_from_begin(self, mapping: ColumnMapping) -> Iterator[Row]:
        self.stream.seek(0)
        return _READERS[self.format](self, mapping)

    def _rows(self, mapping: ColumnMapping) -> Iterator[Row]:
        rows = _READERS[self.format](self, mapping)
        if mapping.class_fields:
            rows = class_columns.join(rows, mapping.class_fields)
        if mapping.numbers_rows:
            rows = self._with_ids(rows)
        return constants.add(rows, mapping.constants) if mapping.constants else rows

    def _with_ids(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Yield the rows, those without an id with one of the file's digest and the row's number."""
        prefix = self.content[:DIGEST_LENGTH]
        for number, row in enumerate(rows):
            if isinstance(row, dict) and row.get(SAMPLE_ID) is None:
                row[SAMPLE_ID] = f"{prefix}-{number}"
            yield row

    def rows(self, mapping: ColumnMapping) -> Iterator[Row]:
        """Yield the rows with Python's values, not as JSON. Raises InvalidInput."""
        self.stream.seek(0)
        yield from self._rows(mapping)

    def column_names(self, expected: ColumnMapping | None = None) -> list[str]:
        """Return the columns of the first row that can be read. Raises InvalidInput.

        `expected`: a mapping that knows some of the columns.
        """
        if self.format == "parquet":
            self.stream.seek(0)
            return parquet.column_names(self.stream, self.path)
        rows = itertools.islice(self.rows(EveryColumn(expected=expected)), MAX_MALFORMED)
        return list(next((row for row in rows if isinstance(row, dict)), ()))

    def line_numbers(self, mapping: ColumnMapping, rows: Collection[int]) -> Mapping[int, int]:
        """Return the line at which each of these rows begins, from 1. Empty for Parquet, which has no lines.

        The file is read again, up to the last of the rows: lines are not counted while rows are loaded.
        """
        if self.format not in TEXT_FORMATS or not rows:
            return {}
        self.stream.seek(0)
        with self.open_text() as text:
            return csv.line_numbers(text, mapping, rows) if self.format == "csv" else jsonl.line_numbers(text, rows)

    def reference_rows(self, mapping: ColumnMapping) -> Iterator[msgspec.Raw]:
        """Yield the rows of a reference, all of which must be readable. Raises InvalidInput."""
        for chunk in self.chunks(mapping):
            for number, row in chunk.malformed.items():
                raise errors.InvalidInput(
                    f"Row {number} of {self.path} can't be read: {row.reason} Nothing was stored."
                )
            yield from chunk.samples.values()

    def _complete(self, chunk: Chunk, next_row: int) -> Chunk:
        """Set the end of a chunk. Raises FileChanged if the file has changed since it was opened."""
        now = fstat(self.stream.fileno())
        if (now.st_size, now.st_mtime_ns) != (self.size, self.changed_at):
            raise file_errors.FileChanged(path=self.path)
        chunk.next_row = next_row
        return chunk

    def position(self, row: int) -> int:
        """Return how many bytes are read so far. For Parquet this is an estimate."""
        return self.size * row // self.row_count if self.row_count else self.stream.tell()

    @property
    def layout_remark(self) -> str | None:
        """Return what the file shows about its dialect, and what was skipped. None if it is written as usual."""
        parts = [*self.notes.values()]
        parts += [f"{count:,} {_SKIPPED[row]}{'s' * (count > 1)} skipped" for row, count in self.skipped.items()]
        return ", ".join(parts) or None

    @contextmanager
    def open_text(self) -> Iterator[TextFile]:
        """Open the text of the file, decompressed. Does not close the file. Raises InvalidInput."""
        if self._encoding is None:
            self._encoding = self._find_encoding()
        try:
            with self._decompressed() as stream:
                yield TextFile(self.path, stream, self._encoding, self.dialect, self.notes)
        except UnicodeError as error:
            raise errors.InvalidInput(f"{self.path} can't be read as {self._encoding}: {error}") from error

    def _find_encoding(self) -> str:
        if given := self.dialect.encoding:
            encoding.require_valid(self._decompressed, self.path, given)
            return given
        detected = encoding.detect(self._decompressed, self.path, has_header=self.format == "csv")
        if detected != encoding.UTF8:
            self.notes["encoding"] = f"encoding {detected}"
        return detected

    def _decompressed(self) -> AbstractContextManager[BinaryIO]:
        return compression.decompressed(self.stream, self.path)


def format_of(path: str) -> str | None:
    """Return the format that a file's name shows (data.csv, data.csv.gz). None if it shows no known format."""
    name = PurePath(path.lower())
    return SUFFIXES.get((name.with_suffix("") if name.suffix in compression.SUFFIXES else name).suffix)


@contextmanager
def open_file(
    path: str, format: str | None = None, *, stream: BinaryIO | None = None, dialect: Dialect = NO_OPTIONS
) -> Iterator[File]:
    """Open a file for reading. "-" is the standard input. It, or a pipe, is first copied to a temporary file.

    `stream` has the bytes if `path` is not a path of this machine. Raises InvalidInput, NotFound or FileRefused.
    """
    chosen = SUFFIXES.get(f".{format.lower()}", format) if format else format_of(path)  # tsv is csv, ndjson is jsonl
    if chosen is None and Path(path).suffix.lower() in WORKBOOKS:
        raise errors.InvalidInput(f"{path} is a workbook. Save it as CSV.")
    if chosen not in FORMATS:
        problem = "is unknown: the file's name does not show it" if chosen is None else f"can't be {chosen!r}"
        raise errors.InvalidInput(
            f"The format of {path} {problem}. Use --format {', '.join(FORMATS[:-1])} or {FORMATS[-1]}."
        )
    dialect.require_meaning(path, chosen)
    with _bytes(path, stream) as content:
        digest, stat = blake2b(digest_size=16), fstat(content.fileno())
        content.seek(0)
        while block := content.read(BLOCK_BYTES):
            digest.update(block)
        yield File(path, chosen, content, stat.st_size, digest.hexdigest(), stat.st_mtime_ns, dialect)


def _bytes(path: str, stream: BinaryIO | None) -> AbstractContextManager[BinaryIO]:
    if stream is not None:
        return nullcontext(stream)
    return spool.spooled(path) if spool.is_needed(path) else open_bytes(Path(path))


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file of this machine. Raises NotFound or FileRefused."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise file_errors.unreadable(path, error) from error
    with stream:
        yield stream


def _add_label(chunk: Chunk, number: int, row: dict[str, Any]) -> None:
    chunk.labels[number] = _json(row)


def _add_reference_row(chunk: Chunk, number: int, row: dict[str, Any]) -> None:
    chunk.samples[number] = _json(row)


def _add_sample(chunk: Chunk, number: int, row: dict[str, Any]) -> None:
    label, sample_id = row.pop(LABEL, None), row.get(SAMPLE_ID)
    chunk.samples[number] = _json(row)
    if label is not None and sample_id is not None:
        chunk.labels[number] = _json({SAMPLE_ID: sample_id, LABEL: label})


_ADDERS: Mapping[FileKind, Callable[[Chunk, int, dict[str, Any]], None]] = {
    FileKind.SAMPLES: _add_sample,
    FileKind.LABELS: _add_label,
    FileKind.REFERENCE: _add_reference_row,
}


def _json(row: Mapping[str, Any]) -> msgspec.Raw:
    try:
        return msgspec.Raw(_encode(row))
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError, RecursionError):
        return msgspec.Raw(_lenient_json(row))


def _lenient_json(row: Mapping[str, Any]) -> bytes:
    """Encode a row with values that JSON does not have (bytes, infinity). The row decoder rejects it."""
    import json

    return json.dumps({name: _printable(value) for name, value in row.items()}, default=repr).encode()


def _printable(value: Any) -> Any:
    return bytes(value).decode(errors="replace") if isinstance(value, msgspec.Raw) else value


def _csv(file: File, mapping: ColumnMapping) -> Iterator[Row]:
    with file.open_text() as text_file:
        yield from csv.read(text_file, mapping)


def _jsonl(file: File, mapping: ColumnMapping) -> Iterator[Row]:
    with file.open_text() as text_file:
        yield from jsonl.read(text_file, mapping)


def _parquet(file: File, mapping: ColumnMapping) -> Iterator[Row]:
    content = parquet.read(file.stream, mapping, file.path)
    file.row_count = content.row_count
    yield from content.rows


_READERS: dict[str, Callable[[File, ColumnMapping], Iterator[Row]]] = {
    "csv": _csv,
    "jsonl": _jsonl,
    "parquet": _parquet,
}
