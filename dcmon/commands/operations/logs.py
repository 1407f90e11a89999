"""Read the logs of `dcmon up` in the order of time, and follow them."""

import heapq
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from dcmon import file_errors
from dcmon.embedded import log_files
from dcmon.embedded.log_entries import LogEntry
from dcmon.embedded.log_files import FollowedLog
from dcmon.errors import InvalidInput, NotFound
from dcmon.states import LogLevel

DEFAULT_LIMIT = 200
POLL_SECONDS = 0.3  # between two looks at followed files
ELSEWHERE = (
    'Processes that "dcmon up" did not start log to stderr: read them with journalctl -u NAME (systemd),'
    " docker compose logs NAME, or kubectl logs."
)


@dataclass(frozen=True)
class LogFilter:
    """Which entries to show. `limit`: at most so many, the newest; None: the default, all with `since`."""

    since: datetime | None = None
    until: datetime | None = None
    level: LogLevel = LogLevel.DEBUG
    pattern: re.Pattern[str] | None = None
    org: str | None = None
    limit: int | None = None

    @property
    def largest(self) -> int | None:
        """The largest number of entries to show; None: no limit."""
        return self.limit if self.limit is not None or self.since is not None else DEFAULT_LIMIT

    def matches(self, entry: LogEntry) -> bool:
        """Return True if the entry is to be shown."""
        return (
            (self.since is None or entry.time >= self.since)
            and (self.until is None or entry.time <= self.until)
            and entry.level.rank >= self.level.rank
            and (self.pattern is None or self._has_pattern(entry, self.pattern))
            and (self.org is None or _is_of_org(entry, self.org))
        )

    @staticmethod
    def _has_pattern(entry: LogEntry, pattern: re.Pattern[str]) -> bool:
        return any(pattern.search(str(value)) for value in (entry.message, *entry.fields.values()))


@dataclass(frozen=True)
class Logs:
    """Entries in the order of time. `is_cut`: older entries are left out by the limit."""

    entries: Iterable[LogEntry]
    is_cut: bool = False


def parse_pattern(text: str | None) -> re.Pattern[str] | None:
    """Parse a regular expression, in which upper and lower case are alike. Raises InvalidInput."""
    try:
        return None if text is None else re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise InvalidInput(f"{text!r} is not a regular expression: {error}.") from error


def read(data_dir: Path, parts: Sequence[str], chosen: LogFilter, stack: ExitStack) -> Logs:
    """Read the logs of parts, or of all. `stack` closes the files; read the entries before.

    Raises NotFound for unknown parts, and where there is no log; FileRefused for a log that can't be read.
    """
    opened = [log_files.open_log(data_dir, part, stack) for part in require_parts(data_dir, parts)]
    return _select([log for log in opened if log is not None], chosen)


def follow(
    data_dir: Path, parts: Sequence[str], chosen: LogFilter, pause: Callable[[], None] | None = None
) -> Iterator[Logs]:
    """Yield the logs as `read`, then what is written from now on, until the end that is chosen.

    `pause` waits before each further look at the files. Raises NotFound or FileRefused.
    """
    wanted = require_parts(data_dir, parts)
    followed = dict[str, FollowedLog]()
    with ExitStack() as stack:
        opened = [log for part in wanted if (log := log_files.open_log(data_dir, part, stack)) is not None]
        for log in opened:
            followed[log.part] = FollowedLog(data_dir, log.part, log)
        yield _select(opened, chosen)
    # A part without a log may get one: all parts are followed where none was chosen.
    for part in parts or log_files.PARTS:
        followed.setdefault(part, FollowedLog(data_dir, part, None))
    try:
        while True:
            new = (entry for reader in followed.values() for entry in reader.read() if chosen.matches(entry))
            is_over = chosen.until is not None and datetime.now(UTC) > chosen.until
            yield Logs(sorted(new, key=_time))
            if is_over:
                return
            (pause or _pause)()
    finally:
        for reader in followed.values():
            reader.close()


def require_parts(data_dir: Path, parts: Sequence[str]) -> list[str]:
    """Return the chosen parts, or all that have a log. Raises NotFound, or FileRefused for an unreadable directory."""
    logs = log_files.directory(data_dir)
    try:
        existing = log_files.existing_parts(data_dir)
    except OSError as error:
        raise file_errors.FileRefused(path=logs, reason=f"{error.strerror}.") from error
    if not existing:
        raise NotFound(
            f'There are no logs in {logs}: "dcmon up" writes them, and did not run with this data directory'
            f" (DCMON_DATA_DIR). {ELSEWHERE}"
        )
    if missing := [part for part in parts if part not in existing]:
        raise NotFound(f"There is no log of {', '.join(missing)} in {logs}. {ELSEWHERE}")
    return list(parts) or existing


def _select(logs: Sequence[log_files.OpenLog], chosen: LogFilter) -> Logs:
    largest = chosen.largest
    if largest is None:
        merged = heapq.merge(*(log.oldest_first(chosen.since) for log in logs), key=_time)
        return Logs(entry for entry in merged if chosen.matches(entry))
    merged = heapq.merge(*(log.newest_first(chosen.since) for log in logs), key=_time, reverse=True)
    newest = list(islice((entry for entry in merged if chosen.matches(entry)), largest + 1))
    return Logs(newest[:largest][::-1], is_cut=len(newest) > largest)


def _is_of_org(entry: LogEntry, org: str) -> bool:
    """Return True if an entry names an organization: in a field, or as a word of its message."""
    if org in (entry.fields.get("organization"), entry.fields.get("org")):
        return True
    return re.search(rf"(?<![\w-]){re.escape(org)}(?![\w-])", entry.message) is not None


def _time(entry: LogEntry) -> datetime:
    return entry.time


def _pause() -> None:
    time.sleep(POLL_SECONDS)
