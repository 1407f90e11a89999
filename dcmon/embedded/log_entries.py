"""Lines of the logs of `dcmon up`, parsed: JSON of dcmon, lines of PostgreSQL and Valkey, and plain text."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from dcmon.states import LogLevel

POSTGRES_LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) (?P<zone>\S+) \[(?P<pid>\d+)\] (?:\S+@\S+ )?"
    r"(?P<level>[A-Z]+\d?): +(?P<message>.*)"
)
VALKEY_LINE = re.compile(
    r"(?P<pid>\d+):[A-Z] (?P<day>\d\d) (?P<month>[A-Z][a-z]{2}) (?P<year>\d{4}) (?P<clock>\d\d:\d\d:\d\d\.\d{3})"
    r" (?P<level>[.\-*#]) (?P<message>.*)"
)
STAMPED_LINE = re.compile(r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00) (?P<message>.*)")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
UTC_NAMES = ("UTC", "GMT")
ERROR_LINE = re.compile(r"dcmon: |Traceback \(|(?:[\w.]+\.)?\w+(?:Error|Exception)\b(?:: |$)")
LONGEST_MESSAGE = 20_000  # characters; the rest of a longer line is left out


POSTGRES_LEVELS = {
    "LOG": LogLevel.INFO, "INFO": LogLevel.INFO, "NOTICE": LogLevel.INFO, "WARNING": LogLevel.WARNING,
    "ERROR": LogLevel.ERROR, "FATAL": LogLevel.ERROR, "PANIC": LogLevel.CRITICAL,
}  # fmt: skip
VALKEY_LEVELS = {".": LogLevel.DEBUG, "-": LogLevel.DEBUG, "*": LogLevel.INFO, "#": LogLevel.WARNING}


@dataclass(frozen=True)
class LogEntry:
    """A line of a log, with the lines that belong to it. `time`: of the line before if it has none itself.

    `fields`: what a line of JSON has besides.
    """

    time: datetime
    part: str
    level: LogLevel
    message: str
    fields: dict[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Return the entry as an object: time, part, level, message, then its other fields."""
        return {"time": self.time, "part": self.part, "level": self.level, "message": self.message, **self.fields}


class _Line(NamedTuple):
    """A parsed line. `time` None: that of the line before; `level` None: it belongs to the line before."""

    time: datetime | None
    level: LogLevel | None
    message: str
    fields: dict[str, Any]


def has_time(line: str) -> bool:
    """Return True if a line has a time of its own, and so does not depend on the lines before it."""
    return _parse(line).time is not None


def stamped(line: str, now: datetime) -> str:
    """Return a line of a process's output with the time, if it begins an entry and is no JSON, which has one."""
    if line.startswith("{") or not line.strip() or line[0].isspace():
        return line
    return f"{now.astimezone(UTC).isoformat(timespec='milliseconds')} {line}"


def without_stamp(line: str) -> str:
    """Return a line without the time that `stamped` put before it."""
    match = STAMPED_LINE.match(line)
    return line if match is None else match["message"]


def entries(part: str, lines: Iterable[str], first_time: datetime) -> Iterator[LogEntry]:
    """Parse lines of a log in their order. `first_time`: of lines before the first one that has a time."""
    current: LogEntry | None = None
    time = first_time
    for text in lines:
        line = _parse(text[:LONGEST_MESSAGE].rstrip("\r\n"))
        if not line.message and not line.fields:
            continue
        if line.level is None and current is not None:
            current = LogEntry(time, part, current.level, f"{current.message}\n{line.message}", current.fields)
        else:
            if current is not None:
                yield current
            time = line.time or time
            current = LogEntry(time, part, line.level or LogLevel.INFO, line.message, line.fields)
    if current is not None:
        yield current


def _parse(line: str) -> _Line:
    if line.startswith("{") and (parsed := _json_line(line)) is not None:
        return parsed
    if match := POSTGRES_LINE.match(line):
        return _postgres_line(match)
    if match := VALKEY_LINE.match(line):
        return _Line(_valkey_time(match), VALKEY_LEVELS[match["level"]], match["message"], {"pid": int(match["pid"])})
    if not line.strip() or line[0].isspace():
        return _Line(None, None, line.rstrip(), {})
    match = STAMPED_LINE.match(line)
    time, message = (None, line) if match is None else (_time(match["time"], "UTC"), match["message"])
    return _Line(time, LogLevel.ERROR if ERROR_LINE.match(message) else LogLevel.INFO, message, {})


def _json_line(line: str) -> _Line | None:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    level, message = str(document.pop("level", "info")).lower(), str(document.pop("message", ""))
    time = _time(str(document.pop("time", "")), "UTC")
    for taken in ("part", "time"):
        document.pop(taken, None)
    return _Line(time, LogLevel(level) if level in tuple(LogLevel) else LogLevel.INFO, message, document)


def _postgres_line(match: re.Match[str]) -> _Line:
    """Parse a line of PostgreSQL. Its details, hints and statements belong to the line before."""
    time, level = _time(match["time"], match["zone"]), match["level"]
    if level.startswith("DEBUG"):
        return _Line(time, LogLevel.DEBUG, match["message"], {"pid": int(match["pid"])})
    if level not in POSTGRES_LEVELS:
        return _Line(time, None, f"{level}: {match['message']}", {})
    return _Line(time, POSTGRES_LEVELS[level], match["message"], {"pid": int(match["pid"])})


def _valkey_time(match: re.Match[str]) -> datetime | None:
    if match["month"] not in MONTHS:
        return None
    month = MONTHS.index(match["month"]) + 1
    return _time(f"{match['year']}-{month:02}-{match['day']} {match['clock']}", "local")


def _time(text: str, zone: str) -> datetime | None:
    """Parse a time; `zone`: UTC, or another word for the time of this machine."""
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            time = time.replace(tzinfo=UTC) if zone in UTC_NAMES else time.astimezone()
        return time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
