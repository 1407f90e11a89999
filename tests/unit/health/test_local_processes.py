"""Why a process of `dcmon up` ended: what it said itself, as its log has it."""

import logging
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dcmon.embedded import log_entries
from dcmon.embedded.supervisor_state import SupervisorState
from dcmon.errors import TopicRemade
from dcmon.health import local_processes
from dcmon.health.process_heartbeats import HOSTNAME
from dcmon.log import JsonLines

ENDED_AT = datetime(2026, 11, 26, 12, tzinfo=UTC)
REASON = str(TopicRemade(topic="dcmon.samples"))


def logged(message: str, seconds: float, *, error: BaseException | None = None, level: int = logging.ERROR) -> str:
    """Return a line of a worker's log, so many seconds before its end."""
    trace = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("dcmon.jobs", level, "", 0, "%s", (message,), trace)
    record.created = ENDED_AT.timestamp() - seconds
    return JsonLines().format(record)


def reasons(data_dir: Path, *lines: str, last_exit: str = "exit code 3") -> dict[tuple[str, str], str]:
    """Return what is found for an ingest worker with this log."""
    (data_dir / "logs").mkdir(exist_ok=True)
    (data_dir / "logs" / "ingest.log").write_text("".join(f"{line}\n" for line in lines))
    child: dict[str, Any] = {
        "name": "ingest", "pid": None, "last_exit": last_exit, "crashes": [ENDED_AT.isoformat()], "restarts": 3,
    }  # fmt: skip
    local = SupervisorState(os.getpid(), "", ENDED_AT.isoformat(), True, [child])
    return dict(local_processes.find([], local, data_dir, ENDED_AT).reasons)


@pytest.mark.parametrize("line", [f"worker ingest failed: {REASON}", REASON])
def test_reason_of_an_end_is_the_last_error_before_it(tmp_path: Path, line: str) -> None:
    is_log = line.startswith("worker")
    said = logged(line, 1) if is_log else log_entries.stamped(f"dcmon: {line}", ENDED_AT - timedelta(seconds=1))
    started = logged("worker ingest: started", -0.5, level=logging.INFO)
    later = logged("worker ingest failed: Something else.", -5)

    found = reasons(tmp_path, logged("worker ingest failed: Long ago.", 60), said, started, later)

    assert found == {("ingest", HOSTNAME): " ".join(REASON.split())}


def test_end_without_a_message_of_its_own_has_no_reason(tmp_path: Path) -> None:
    said = logged(f"worker ingest failed: {REASON}", 1)
    try:
        raise KeyError("x")
    except KeyError:
        bug = logged("worker ingest failed: 'x'", 1, error=sys.exc_info()[1])
    unexpected = log_entries.stamped("dcmon: unexpected KeyError: 'x' (-v shows the traceback)", ENDED_AT)

    assert reasons(tmp_path, said, last_exit="signal SIGKILL") == {}
    assert [reasons(tmp_path, line) for line in (bug, unexpected)] == [{}, {}]
    assert reasons(tmp_path, logged("message not sent", 1), logged("worker ingest: started", 0.5, level=20)) == {}
