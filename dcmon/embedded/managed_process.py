"""A process that is restarted when it ends, after a pause that grows."""

import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any

from dcmon.embedded import log_entries, process

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds before a restart
STEADY_AFTER = 30.0  # seconds; if a process ends earlier, the pause is doubled, otherwise it is FIRST_PAUSE again
CRASHES = 20  # of a process, the newest of which `dcmon status` tells
LOG_BYTES, LOG_FILES = 10_000_000, 3


class ManagedState(StrEnum):
    """The state of a managed process. RESTARTING: it has ended, and its pause is not over."""

    RUNNING = "running"
    RESTARTING = "restarting"


@dataclass
class ManagedProcess:
    """A process that is kept running.

    `launch` starts it. `process` is None during the pause before a restart. `since`: the last start or end. `crashes`:
    the times of its last ends that were no normal ones.
    """

    name: str
    launch: Callable[[], "subprocess.Popen[bytes]"]
    process: "subprocess.Popen[bytes] | None" = None
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    restarts: int = 0
    last_exit: int | None = None
    crashes: list[datetime] = field(default_factory=list)
    pause: float = FIRST_PAUSE
    restart_at: float = 0.0

    def start(self) -> None:
        """Start the process."""
        self.process, self.since = self.launch(), datetime.now(UTC)

    def restart_if_ended(self) -> bool:
        """Start the process again if it has ended and its pause is over.

        Returns True if the process has ended or was started since the last call.
        """
        if self.process is None:
            if time.monotonic() < self.restart_at:
                return False
            self.restarts += 1
            self.start()
            log.warning("process started again: %s, restart %d", self.name, self.restarts)
            return True
        code = self.process.poll()
        if code is None:
            return False
        ran_seconds = (datetime.now(UTC) - self.since).total_seconds()
        self.pause = FIRST_PAUSE if ran_seconds > STEADY_AFTER else min(LONGEST_PAUSE, self.pause * 2)
        self.process, self.last_exit, self.since = None, code, datetime.now(UTC)
        self.restart_at = time.monotonic() + self.pause
        if code != 0:
            self.crashes = [*self.crashes, self.since][-CRASHES:]
        log.warning("process ended: %s with %s, restart in %.1f s", self.name, describe_exit(code), self.pause)
        return True

    def describe(self) -> dict[str, Any]:
        """Return the state of the process as `dcmon status` shows it."""
        return {
            "name": self.name,
            "state": ManagedState.RUNNING if self.process else ManagedState.RESTARTING,
            "pid": self.process.pid if self.process else None,
            "since": self.since,
            "restarts": self.restarts,
            "crashes": [crash.isoformat() for crash in self.crashes],
            "last_exit": None if self.last_exit is None else describe_exit(self.last_exit),
        }


def describe_exit(code: int) -> str:
    """Return an exit code as text; a negative one is the number of a signal."""
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def start_command(
    arguments: Sequence[str], environment: Mapping[str, str], log_file: Path
) -> "subprocess.Popen[bytes]":
    """Start a dcmon command, and copy its output to a log file that rotates."""
    command = [sys.executable, "-m", "dcmon", "-v", *arguments]
    child = process.start(command, output=subprocess.PIPE, environment=environment)
    assert child.stdout is not None
    thread_name = f"log of {log_file.stem}"
    threading.Thread(target=_copy_to_log, args=(child.stdout, log_file), name=thread_name, daemon=True).start()
    return child


class _LogFile(RotatingFileHandler):
    """A log file that loses lines where its disk is full, and goes on when there is room again."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Say nothing: a traceback for each lost line would fill the log of the supervisor, on the same disk."""


def _copy_to_log(output: IO[bytes], file: Path) -> None:
    handler = _LogFile(file, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(message)s"))
    with output:
        for line in output:
            text = log_entries.stamped(line.decode(errors="replace").rstrip("\n"), datetime.now(UTC))
            handler.emit(logging.LogRecord(file.stem, logging.INFO, "", 0, "%s", (text,), None))
    with suppress(OSError):
        handler.close()
