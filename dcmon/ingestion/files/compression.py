"""Decompress files by their first bytes, which names need not show: gzip, Zstandard, bzip2 and xz."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO, cast

from dcmon import errors

SUFFIXES = (".gz", ".zst", ".zstd", ".bz2", ".xz")
ERRORS = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
# Files that are not text, with what to do about it. Their first bytes can't begin a CSV or JSON lines.
_OTHER_FILES: Mapping[bytes, str] = {
    b"PAR1": "is a Parquet file. Use --format parquet.",
    b"PK\x03\x04": "is an Excel workbook or another ZIP archive. Save it as CSV, or unpack it.",
    b"\xd0\xcf\x11\xe0": "is an Excel workbook. Save it as CSV.",
}


@contextmanager
def decompressed(stream: BinaryIO, path: str) -> Iterator[BinaryIO]:
    """Open the bytes of a text file from its beginning, decompressed. Does not close the file. Raises InvalidInput."""
    stream.seek(0)
    begin = stream.read(4)
    stream.seek(0)
    for magic, problem in _OTHER_FILES.items():
        if begin == magic:
            raise errors.InvalidInput(f"{path} {problem}")
    opened = next((opener for magic, opener in _OPENERS.items() if begin.startswith(magic)), None)
    if opened is None:
        yield stream
        return
    try:
        with opened(stream) as content:
            yield content
    except ERRORS as error:
        raise errors.InvalidInput(f"{path} can't be decompressed completely: {error}") from error
    except OSError as error:
        if error.errno is not None:  # of the file system
            raise
        raise errors.InvalidInput(f"{path} can't be decompressed completely: {error}") from error


def _gzip(stream: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, gzip.GzipFile(fileobj=stream))


def _bzip2(stream: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, bz2.BZ2File(stream))


def _xz(stream: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, lzma.LZMAFile(stream))


def _zstandard(stream: BinaryIO) -> BinaryIO:
    # Python has Zstandard from 3.14 on. pyarrow is installed in any case, and reads frames that follow each other.
    import pyarrow

    file = pyarrow.PythonFile(_Unclosed(stream), "r")
    return io.BufferedReader(pyarrow.CompressedInputStream(file, "zstd"), 2**20)


class _Unclosed(io.RawIOBase):
    """A stream whose end of use does not close the file below."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        return self._stream.read(size)


_OPENERS: Mapping[bytes, Callable[[BinaryIO], BinaryIO]] = {
    b"\x1f\x8b": _gzip,
    b"\x28\xb5\x2f\xfd": _zstandard,
    b"BZh": _bzip2,
    b"\xfd7zX": _xz,
}
