"""Logging to stderr: short lines on a terminal, JSON lines otherwise."""

import json
import logging
import sys
from datetime import UTC, datetime

_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """A formatter that writes one JSON object per line, with the fields of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _STANDARD_ATTRIBUTES},
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str, ensure_ascii=False)


def set_up(verbosity: int) -> None:
    """Set the log level: -1 errors, 0 warnings, 1 progress, 2 or more everything."""
    levels = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}
    stream = logging.StreamHandler(sys.stderr)
    terminal = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
    stream.setFormatter(terminal if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[stream], force=True)
    logging.getLogger("dcmon").setLevel(levels.get(verbosity, logging.DEBUG))
