"""Processes that do the same work: one that ends is started again, and all are stopped together."""

import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0  # seconds before a restart
STEADY_AFTER = 30.0  # seconds; if a process ends earlier, the pause is doubled, otherwise it is FIRST_PAUSE again


@dataclass
class _Slot:
    """A slot for one process. `pid`: None while no process runs in it."""

    number: int
    pid: int | None = None
    started_at: float = 0.0
    pause: float = FIRST_PAUSE
    start_at: float = 0.0


def run(count: int, work: Callable[[int], None], on_stop: Callable[[], None], kill_after: float) -> None:
    """Run `work` in `count` processes until SIGTERM or SIGINT, each with the number of its slot.

    Call it from the main thread, with no other thread running: the processes are forks, which share loaded modules.
    At the signal `on_stop` is called, and the processes get SIGTERM; those that still run `kill_after` seconds later
    are killed.
    """
    is_stopping = False

    def request_stop(number: int, frame: FrameType | None) -> None:
        nonlocal is_stopping
        is_stopping = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, request_stop)
    gc.collect()
    gc.freeze()  # a collection in a child would otherwise copy the pages of all loaded modules
    slots = [_Slot(number) for number in range(count)]
    try:
        while not is_stopping:
            for slot in slots:
                _keep_running(slot, work)
            time.sleep(POLL_SECONDS)
    finally:
        on_stop()
        _stop(slots, kill_after)


def _keep_running(slot: _Slot, work: Callable[[int], None]) -> None:
    """Start the process of a slot if it does not run and its pause is over."""
    if slot.pid is not None and (status := _exit_status(slot.pid)) is not None:
        ran_seconds = time.monotonic() - slot.started_at
        slot.pause = FIRST_PAUSE if ran_seconds > STEADY_AFTER else min(LONGEST_PAUSE, slot.pause * 2)
        slot.pid, slot.start_at = None, time.monotonic() + slot.pause
        log.warning("server process %d ended with %s, restart in %.1f s", slot.number, _describe(status), slot.pause)
    if slot.pid is None and time.monotonic() >= slot.start_at:
        slot.pid, slot.started_at = _fork(work, slot.number), time.monotonic()


def _fork(work: Callable[[int], None], number: int) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        for handled in (signal.SIGINT, signal.SIGTERM):
            signal.signal(handled, signal.SIG_DFL)
        work(number)
        code = 0
    except BaseException:
        log.exception("server process %d failed", number)
    finally:
        sys.stderr.flush()
        os._exit(code)  # what the parent would do at its end, such as removing files, is not for this process


def _stop(slots: list[_Slot], kill_after: float) -> None:
    running = [slot.pid for slot in slots if slot.pid is not None]
    for pid in running:
        os.kill(pid, signal.SIGTERM)  # a process that was not waited for keeps its id
        os.kill(pid, signal.SIGCONT)  # if it is suspended
    deadline = time.monotonic() + kill_after
    while running:
        running = [pid for pid in running if _exit_status(pid) is None]
        if running and time.monotonic() > deadline:
            log.error("%d server processes did not stop in %.0f s and are killed", len(running), kill_after)
            for pid in running:
                os.kill(pid, signal.SIGKILL)
            deadline += kill_after
        time.sleep(0.02)


def _exit_status(pid: int) -> int | None:
    """Return the exit code of a child, negative for a signal; None while it runs. Warn if it was suspended."""
    changed, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
    if changed and os.WIFSTOPPED(status):
        log.warning(
            "server process with pid %d is suspended: its clients wait. Run kill -CONT %d, or kill it", pid, pid
        )
        return None
    return os.waitstatus_to_exitcode(status) if changed else None


def _describe(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
