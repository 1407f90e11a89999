"""The supervisor: the process of `dcmon up`, which runs all other processes.

These are the embedded PostgreSQL and Valkey, and dcmon's endpoint and workers.
"""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from dcmon import errors, privileges, stop_signals, user_code
from dcmon.embedded import private_files, process, supervisor_state
from dcmon.embedded.environment import child_environment
from dcmon.embedded.process_manager import READY_SECONDS, ProcessManager, stop_seconds
from dcmon.embedded.supervisor_state import SupervisorState
from dcmon.settings import Settings

SERVERS_STOP_SECONDS = 45.0  # PostgreSQL has 30 s, Valkey 5 s
BACKGROUND_SECONDS = READY_SECONDS + 300  # PostgreSQL's crash recovery may take minutes before the endpoint starts


def run(settings: Settings, stop: threading.Event | None = None, ready: Callable[[str], None] | None = None) -> None:
    """Start all processes and keep them running until SIGTERM, SIGINT, SIGHUP or `stop`.

    `ready` is called with the endpoint's URL when the endpoint answers. Raises Locked if another supervisor runs in the
    data directory, or PortTaken.
    """
    stop = stop or threading.Event()
    os.umask(private_files.UMASK)
    user_code.hide_own_environment()
    _require_writable(settings)
    stop_signals.set_at_signals(stop, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    with ExitStack() as stack:
        stack.enter_context(supervisor_state.exclusive(settings.data_dir))
        stack.callback(supervisor_state.remove, settings.data_dir)
        _require_port(settings)
        processes = ProcessManager(settings)
        stack.callback(processes.stop)
        processes.start(stop)
        if ready is not None and not stop.is_set():
            ready(settings.url)
        processes.keep_running(stop)


def start_in_background(settings: Settings, *, die_with_parent: bool) -> SupervisorState:
    """Start a supervisor in a separate process, and wait until the endpoint answers.

    If the supervisor fails, this raises the supervisor's error, and no process is left running.
    """
    running = supervisor_state.read(settings)
    if running is not None and running.is_ready:
        return running
    _require_writable(settings)
    log_file = settings.data_dir / "logs" / "supervisor.log"
    log_start = log_file.stat().st_size if log_file.exists() else 0
    with open(log_file, "ab", opener=private_files.opener) as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "dcmon", "-v", "up", "--foreground"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=child_environment(settings),
            start_new_session=True,
            preexec_fn=process.dies_with_parent(signal.SIGTERM) if die_with_parent else None,
        )
    try:
        process.wait_until(lambda: child.poll() is not None or _is_ready(settings), BACKGROUND_SECONDS)
    except BaseException:
        process.stop(child, signal.SIGTERM, stop_seconds(settings) + SERVERS_STOP_SECONDS)
        raise
    state = supervisor_state.read(settings)
    if state is None or not state.is_ready:
        process.stop(child, signal.SIGTERM, stop_seconds(settings) + SERVERS_STOP_SECONDS)
        raise _start_error(child.returncode, log_file, log_start)
    return state


def stop(settings: Settings) -> bool:
    """Stop the supervisor with all its processes; return False if no supervisor runs.

    Raises Locked if the supervisor does not end in the time that its processes may take.
    """
    timeout = stop_seconds(settings) + SERVERS_STOP_SECONDS
    running = supervisor_state.read(settings)
    if running is None:
        return False
    os.kill(running.pid, signal.SIGTERM)
    if not process.wait_until(lambda: not process.is_alive(running.pid), timeout):
        raise errors.Locked(
            f'The supervisor (pid {running.pid}) did not stop in {timeout:.0f} s. Type "dcmon down" to try again.'
        )
    return True


def _is_ready(settings: Settings) -> bool:
    state = supervisor_state.read(settings)
    return state is not None and state.is_ready


def _start_error(exit_code: int | None, log_file: Path, log_start: int) -> errors.DcmonError:
    """Return the error of a supervisor that failed, by its exit code and last message."""
    with log_file.open(errors="replace") as file:
        file.seek(log_start)
        lines = [line.strip() for line in file if line.startswith("dcmon: ")]
    message = lines[-1].removeprefix("dcmon: ") if lines else f"dcmon did not start; see {log_file}."
    by_exit_code = {2: errors.InvalidInput, 4: errors.DatabaseRefused, 6: errors.Locked, 7: errors.Unreachable}
    return by_exit_code.get(exit_code or 3, errors.DcmonError)(message)


def _require_writable(settings: Settings) -> None:
    """Create the data directory if necessary, and make it private. Raises DiskFull or DataDirectoryUnusable."""
    data_dir = settings.data_dir
    try:
        private_files.make_directory(data_dir, privileges.account(settings.run_as))
        private_files.make_directory(data_dir / "logs", None)
        private_files.close_files(data_dir)
        with tempfile.TemporaryFile(dir=data_dir) as probe:  # it has no name, so nothing of it can stay
            probe.write(b"x")
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise errors.DiskFull(where=data_dir) from error
        reason = f"{error.strerror}. Set DCMON_DATA_DIR to a directory that you can write."
        raise errors.DataDirectoryUnusable(path=data_dir, reason=reason) from error


def _require_port(settings: Settings) -> None:
    try:
        is_free = process.free_port(settings.http.port, settings.http.host) == settings.http.port
    except OSError:
        is_free = False
    if not is_free:
        raise errors.PortTaken(port=settings.http.port, host=settings.http.host)
