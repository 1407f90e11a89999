"""What a process of the endpoint knows of its own life: whether it is about to stop, and its place among others."""

import time
from dataclasses import dataclass
from pathlib import Path

READINESS_SECONDS = 60.0  # a load balancer asks /health/ready more often


@dataclass
class Serving:
    """The state of one server process.

    `metrics_directory`: where the processes that share the port share their counts; None: this process is alone.
    `is_stopping`: it got the signal to stop.
    """

    metrics_directory: Path | None = None
    is_stopping: bool = False
    _readiness_asked_at: float | None = None

    def record_readiness_request(self) -> None:
        """Record that something asks whether this process is ready: it is told before the process stops."""
        self._readiness_asked_at = time.monotonic()

    @property
    def is_watched(self) -> bool:
        """True if /health/ready was requested within the last minute."""
        asked_at = self._readiness_asked_at
        return asked_at is not None and time.monotonic() - asked_at < READINESS_SECONDS
