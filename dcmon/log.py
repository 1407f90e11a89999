"""Logging to stderr: for people on a terminal, JSON lines otherwise."""

import json
import logging
import sys
from datetime import UTC, datetime

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonLines(logging.Formatter):
    """One JSON object a line; what was given as `extra` stands beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _OWN},
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str, ensure_ascii=False)


def set_up(verbosity: int) -> None:
    """Log warnings and worse (0), progress too (1), everything (2 and more); -1: errors only."""
    levels = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}
    stream = logging.StreamHandler(sys.stderr)
    terminal = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
    stream.setFormatter(terminal if sys.stderr.isatty() else JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[stream], force=True)
    logging.getLogger("dcmon").setLevel(levels.get(verbosity, logging.DEBUG))
