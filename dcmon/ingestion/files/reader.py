"""Files of rows: CSV, Parquet and JSON lines, read piece by piece as JSON rows with the fields of a version."""

import gzip
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from hashlib import blake2b
from os import fstat
from pathlib import Path, PurePath
from typing import Any, BinaryIO, TypeVar

import msgspec

from dcmon import errors
from dcmon.ingestion.files.column_mapping import Layout
from dcmon.ingestion.files.csv_records import Malformed
from dcmon.ingestion.files.formats import Row, csv, jsonl, parquet
from dcmon.storage.columns import LABEL, SAMPLE_ID

STDIN = "-"
ROWS_AT_ONCE = 10_000
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

T = TypeVar("T")
_encode = msgspec.json.Encoder(decimal_format="number").encode


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
        """Its bytes, unpacked when they are gzip's. What it closes is not the file. Raises InvalidInput."""
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
        yield from csv.read(plain, layout, file.path)


def _jsonl(file: File, layout: Layout) -> Iterator[Row]:
    with file.plain() as plain:
        yield from jsonl.read(plain, layout)


def _parquet(file: File, layout: Layout) -> Iterator[Row]:
    file.row_count, rows = parquet.read(file.stream, layout, file.path)
    yield from rows


_READERS: dict[str, Callable[[File, Layout], Iterator[Row]]] = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}
