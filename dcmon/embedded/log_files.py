"""The log files of a data directory: read them from the newest line back, from the oldest on, or follow them."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

from dcmon.embedded import log_entries
from dcmon.embedded.log_entries import LogEntry
from dcmon.embedded.managed_process import LOG_FILES
from dcmon.states import ProcessKind

POSTGRES, VALKEY = "postgres", "valkey"
SERVERS = (POSTGRES, VALKEY)
SUPERVISOR = "supervisor"
PARTS = (SUPERVISOR, *SERVERS, *map(str, ProcessKind))  # in the order in which they start
BLOCK_BYTES = 1_000_000
DISORDER = timedelta(minutes=1)  # how much later than its time a line may be written
MOST_BYTES = 16_000_000  # that are read of a followed file at a time


def directory(data_dir: Path) -> Path:
    """Return the directory of the logs."""
    return data_dir / "logs"


def path_of(data_dir: Path, part: str) -> Path:
    """Return the current log file of a part, which need not exist."""
    return directory(data_dir) / f"{part}.log"


def existing_parts(data_dir: Path) -> list[str]:
    """Return the parts that have a log, in the order of PARTS. Raises OSError if the directory can't be read."""
    names = set(os.listdir(directory(data_dir))) if directory(data_dir).is_dir() else set[str]()
    return [part for part in PARTS if {f"{part}.log", f"{part}.log.1"} & names]


@dataclass
class OpenLog:
    """The open files of one part, the newest first. `end`: up to which byte the newest one is read."""

    part: str
    path: Path
    files: list[IO[bytes]]
    end: int

    def newest_lines(self) -> Iterator[str]:
        """Yield the lines as they are, the newest first."""
        for number, file in enumerate(self.files):
            for block in _blocks_from_end(file, self.end if number == 0 else None):
                yield from reversed(_lines(block))

    def newest_first(self, since: datetime | None = None) -> Iterator[LogEntry]:
        """Yield the entries, the newest first, until those that are older than `since`."""
        later: list[str] = []  # lines without a time, whose time is that of an earlier block
        for number, file in enumerate(self.files):
            end = self.end if number == 0 else None
            for block in _blocks_from_end(file, end):
                lines = [*_lines(block), *later]
                timed = next((index for index, line in enumerate(lines) if log_entries.has_time(line)), len(lines))
                later, lines = lines[:timed], lines[timed:]
                for entry in reversed(list(log_entries.entries(self.part, lines, _changed_at(file)))):
                    if since is not None and entry.time < since - DISORDER:
                        return
                    yield entry
        if later:
            yield from reversed(list(log_entries.entries(self.part, later, self._first_time())))

    def oldest_first(self, since: datetime | None = None) -> Iterator[LogEntry]:
        """Yield the entries, the oldest first. Files that were last changed before `since` are left out."""
        files = [file for file in reversed(self.files) if since is None or _changed_at(file) >= since]
        return log_entries.entries(self.part, self._lines(files), self._first_time())

    def _lines(self, files: Sequence[IO[bytes]]) -> Iterator[str]:
        for file in files:
            remaining = self.end if file is self.files[0] else os.fstat(file.fileno()).st_size
            file.seek(0)
            while remaining > 0 and (line := file.readline(remaining)):
                remaining -= len(line)
                yield line.decode(errors="replace")

    def _first_time(self) -> datetime:
        """Return the time of lines before the first time: that time, or when the file was changed."""
        oldest = self.files[-1]
        oldest.seek(0)
        beginning = oldest.read(BLOCK_BYTES)
        timed = next((line for line in _lines(beginning) if log_entries.has_time(line)), "")
        default = _changed_at(oldest)
        return next((entry.time for entry in log_entries.entries(self.part, [timed], default)), default)


def open_log(data_dir: Path, part: str, stack: ExitStack) -> OpenLog | None:
    """Open the log of a part, with its older files; None if there is none. `stack` closes the files."""
    path = path_of(data_dir, part)
    files, identities = list[IO[bytes]](), set[tuple[int, int]]()
    # The newest first: a file that is renamed meanwhile is met twice then, but none is left out.
    for name in (path, *(path.with_name(f"{path.name}.{number}") for number in range(1, LOG_FILES + 1))):
        try:
            file = stack.enter_context(name.open("rb"))
        except FileNotFoundError:
            continue
        identity = _identity(os.fstat(file.fileno()))
        if identity not in identities:
            identities.add(identity)
            files.append(file)
    return OpenLog(part, path, files, os.fstat(files[0].fileno()).st_size) if files else None


class FollowedLog:
    """A log that is read while it is written, also when its file is rotated, truncated or created later."""

    def __init__(self, data_dir: Path, part: str, opened: OpenLog | None) -> None:
        """Begin after what `opened` has; its end moves back to the end of its last whole line."""
        self.part, self.path = part, path_of(data_dir, part)
        self._file: IO[bytes] | None = None
        self._position, self._incomplete = 0, b""
        self._last_time = datetime.now(UTC)
        if opened is not None:
            opened.end = _end_of_lines(opened.files[0], opened.end)
            if _identity(os.fstat(opened.files[0].fileno())) == self._current_identity():
                self._file, self._position = self._open(), opened.end

    def read(self) -> list[LogEntry]:
        """Return the entries that were written since the last call."""
        read = self._read_file()
        if self._file is None or self._current_identity() not in (None, _identity(os.fstat(self._file.fileno()))):
            self._close()
            read += b"\n" if read and not read.endswith(b"\n") else b""
            self._file, self._position = self._open(), 0
            read += self._read_file()
        complete, newline, self._incomplete = (self._incomplete + read).rpartition(b"\n")
        new = list(log_entries.entries(self.part, _lines(complete + newline), self._last_time))
        self._last_time = new[-1].time if new else self._last_time
        return new

    def close(self) -> None:
        """Close the file."""
        self._close()

    def _read_file(self) -> bytes:
        if self._file is None:
            return b""
        if os.fstat(self._file.fileno()).st_size < self._position:  # truncated, as Valkey does at its start
            self._position, self._incomplete = 0, b""
        self._file.seek(self._position)
        read = self._file.read(MOST_BYTES)
        self._position += len(read)
        return read

    def _current_identity(self) -> tuple[int, int] | None:
        try:
            return _identity(self.path.stat())
        except FileNotFoundError:
            return None

    def _open(self) -> IO[bytes] | None:
        try:
            return self.path.open("rb")
        except FileNotFoundError:
            return None

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _blocks_from_end(file: IO[bytes], end: int | None) -> Iterator[bytes]:
    """Yield a file in blocks of whole lines, the last first. `end`: where it is read from; None: its end."""
    start = os.fstat(file.fileno()).st_size if end is None else end
    beginning_of_later = b""  # the part of the later block's first line that was read with it
    while start > 0:
        position = max(0, start - BLOCK_BYTES)
        file.seek(position)
        block = file.read(start - position) + beginning_of_later
        start = position
        if position == 0:
            yield block
            return
        head, newline, body = block.partition(b"\n")
        beginning_of_later = head + newline
        if newline and body:
            yield body


def _end_of_lines(file: IO[bytes], end: int) -> int:
    """Return the end of the last whole line before a position."""
    position = end
    while position > 0:
        start = max(0, position - BLOCK_BYTES)
        file.seek(start)
        at = file.read(position - start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        position = start
    return 0


def _lines(block: bytes) -> list[str]:
    return block.decode(errors="replace").split("\n")


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _changed_at(file: IO[bytes]) -> datetime:
    return datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
