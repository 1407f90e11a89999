"""Files in a directory of this machine and in its folders."""

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from dcmon import errors
from dcmon.ingestion.files import folder_walk, locations, path_pattern, reader
from dcmon.ingestion.files.locations import FileEntry, Page, Proceed

log = logging.getLogger(__name__)

COMPLETE_AFTER = 10.0  # seconds: a file that did not change for this time is completely written
FILES_PER_PAGE = 1000


@dataclass(frozen=True)
class Directory:
    """A location of files: a directory with its folders; with `pattern`, only its files that match."""

    root: Path
    pattern: tuple[str, ...] = ()

    def pages(self) -> Iterator[Page]:
        """See locations.Location."""
        if not self.root.is_dir():
            raise errors.NotFound(what="directory", name=str(self.root))
        page = Page([], [])
        for folder in folder_walk.walk(self.root):
            below = folder.path.relative_to(self.root)
            page.hidden.extend((below / name).as_posix() for name in folder.hidden)
            for name in folder.files:
                if not path_pattern.matches((below / name).parts, self.pattern):
                    continue
                page.files.extend(_entry(folder.path / name, (below / name).as_posix()))
                if len(page.files) >= FILES_PER_PAGE:
                    yield page
                    page = Page([], [])
        yield page

    def fetch(self, path: str, proceed: Proceed = locations.proceed) -> AbstractContextManager[BinaryIO]:
        """See locations.Location."""
        return reader.open_bytes(self.root / path)


def _is_utf8(path: str) -> bool:
    """Return True if a path is UTF-8, as PostgreSQL's text must be. Otherwise log that the file is skipped."""
    try:
        path.encode()
    except UnicodeEncodeError:
        printable = path.encode(errors="backslashreplace").decode()
        log.warning("file skipped: the name of %s is not UTF-8, rename it", printable)
        return False
    return True


def _entry(file: Path, path: str) -> Iterator[FileEntry]:
    """Yield the entry of a file; nothing if it is not loaded, or was deleted meanwhile."""
    if reader.format_of(path) is None or not _is_utf8(path):
        return
    try:
        stat = file.stat()
    except FileNotFoundError:
        return
    if locations.is_loadable(path, stat.st_size):
        stamp, age = f"{stat.st_size}-{stat.st_mtime_ns}", time.time() - stat.st_mtime
        yield FileEntry(path, stamp, stat.st_mtime, is_complete=age > COMPLETE_AFTER)


def parse(url: str) -> Directory | None:
    """Return the directory of a URL (file:///path or /path, or a pattern). None if the URL is of another kind."""
    parts = urlsplit(url)
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        return None
    path = Path(unquote(parts.path) if parts.scheme else url)
    if not path.is_absolute():
        return None
    if path.is_dir() or not path_pattern.is_pattern(str(path)):
        return Directory(path)
    split = path_pattern.split(str(path))
    return Directory(Path(split.base), split.parts)
