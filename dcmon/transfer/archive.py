"""A file of named parts, written and read as a stream: a tar in gzip, so that `tar tzf FILE` lists it.

The last part has the number of the other parts and a checksum of their names and contents: a file that was cut off, or
changed afterwards, is refused. At most one part is in memory.
"""

import gzip
import hashlib
import json
import tarfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from dcmon.file_errors import ArchiveDamaged, ArchiveUnknown

END = "end.json"
GZIP = 31  # zlib writes the format of gzip with this number
MAX_PART_BYTES = 256 * 2**20  # a part has some megabytes of rows, and may end with a row that is larger
LEVEL = 2  # of gzip: 1.6 times as fast as the default level for a file that is 8 % larger
DAMAGES = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError)


class Part(NamedTuple):
    """A part of an archive."""

    name: str
    content: bytes

    @property
    def document(self) -> Any:
        """Return the content of a JSON part."""
        return json.loads(self.content)


class ArchiveWriter:
    """Writes parts to a stream, which need not be a file. Call `close` at the end: without it, the archive is cut off.

    `size`: bytes of all contents so far, before compression; `written`: of the file.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._packer = stream, zlib.compressobj(LEVEL, wbits=GZIP)
        self._digest, self._parts, self.size = hashlib.sha256(), 0, 0
        self.written = 0

    def add(self, name: str, content: bytes) -> None:
        """Write the next part."""
        _update(self._digest, name, content)
        self._parts += 1
        self.size += len(content)
        self._write(name, content)

    def add_document(self, name: str, document: Any) -> None:
        """Write the next part, as JSON."""
        self.add(name, json.dumps(document, ensure_ascii=False).encode())

    def close(self) -> None:
        """Write the last part, and all that is buffered. The stream stays open."""
        end = {"parts": self._parts, "sha256": self._digest.hexdigest()}
        self._write(END, json.dumps(end).encode())
        self._put(self._packer.compress(bytes(2 * tarfile.BLOCKSIZE)) + self._packer.flush())

    def _write(self, name: str, content: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        for block in (info.tobuf(tarfile.PAX_FORMAT), content, bytes(-len(content) % tarfile.BLOCKSIZE)):
            self._put(self._packer.compress(block))

    def _put(self, packed: bytes) -> None:
        self._stream.write(packed)
        self.written += len(packed)


def read(stream: BinaryIO, path: str) -> Iterator[Part]:
    """Yield the parts of an archive, without the last one, against which all of them are checked.

    Raises ArchiveDamaged when the file is cut off or was changed, which may be noticed at its end only, and
    ArchiveUnknown when it is no archive. `path` is for messages.
    """
    digest, count, parts = hashlib.sha256(), 0, _parts(stream, path)
    for part in parts:
        if part.name == END:
            fits = _is_end(part, {"parts": count, "sha256": digest.hexdigest()})
            if not fits or next(parts, None) is not None:
                raise ArchiveDamaged(path=path, reason="its contents do not fit its checksum")
            return
        _update(digest, part.name, part.content)
        count += 1  # noqa: SIM113 - the last part is not counted
        yield part
    raise ArchiveDamaged(path=path, reason="its end is missing")


def _parts(stream: BinaryIO, path: str) -> Iterator[Part]:
    first = True
    try:
        with gzip.GzipFile(fileobj=stream, mode="rb") as unpacked, tarfile.open(fileobj=unpacked, mode="r|") as tar:
            while (info := tar.next()) is not None:
                if info.size > MAX_PART_BYTES:
                    raise ArchiveDamaged(path=path, reason=f"part {info.name[:100]!r} is too large to be one of dcmon")
                opened = tar.extractfile(info)
                content = b"" if opened is None else opened.read()
                if len(content) != info.size:
                    raise EOFError
                first = False
                yield Part(info.name, content)
                tar.members.clear()  # type: ignore[attr-defined]
            while unpacked.read(tarfile.RECORDSIZE):  # gzip's own checksum is compared at its end
                pass
    except DAMAGES as error:
        if first:
            raise ArchiveUnknown(path=path) from error
        raise ArchiveDamaged(path=path, reason="it is cut off, or some of its bytes were changed") from error


def _is_end(part: Part, expected: dict[str, Any]) -> bool:
    try:
        return bool(part.document == expected)
    except ValueError:  # no JSON any more
        return False


def _update(digest: Any, name: str, content: bytes) -> None:
    digest.update(f"{name}\0{len(content)}\0".encode())
    digest.update(content)
