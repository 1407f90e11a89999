"""Start, stop and inspect operating system processes, and find free ports."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from dcmon.privileges import Account

_PR_SET_PDEATHSIG = 1


def dies_with_parent(signal_number: int) -> Callable[[], None] | None:
    """Return a `preexec_fn` with which the kernel signals the child when its parent dies.

    None where that is not possible: it needs prctl(2) of Linux. A change of user after this function would cancel the
    signal.
    """
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None, use_errno=True), os.getpid()

    def request_signal() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal_number)
        if os.getppid() != parent:  # the parent died before the request, so the kernel will send no signal
            os.kill(os.getpid(), signal_number)

    return request_signal


def start(
    command: Sequence[str],
    *,
    output: int | IO[bytes],
    environment: Mapping[str, str] | None = None,
    user: Account | None = None,
    on_parent_death: int = signal.SIGTERM,
) -> "subprocess.Popen[bytes]":
    """Start a child process in a new session.

    In a new session, Ctrl-C in the terminal does not reach it. `user`: the user to run as; None: that of this process.
    `environment`: None: that of this process without dcmon's settings, which have secrets.
    """
    if environment is None:
        environment = {name: value for name, value in os.environ.items() if not name.upper().startswith("DCMON_")}
    credentials: dict[str, Any] = {} if user is None else user.credentials
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        cwd="/",
        start_new_session=True,
        preexec_fn=dies_with_parent(on_parent_death),
        **credentials,
    )


def stop(process: "subprocess.Popen[bytes]", signal_number: int, timeout: float) -> None:
    """Send a child process a signal; kill it if it still runs after `timeout` seconds."""
    if process.poll() is None:
        process.send_signal(signal_number)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def is_alive(pid: int) -> bool:
    """Return True if a process runs; False for a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not Path("/proc/self/stat").exists()


def is_stopped(pid: int) -> bool:
    """Return True if a process was stopped by a signal (SIGSTOP): it runs again after SIGCONT."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except OSError:
        return False


def command_line(pid: int) -> str:
    """Return the command line of a process; empty if it can't be read."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def free_port(preferred: int | None = None, host: str = "127.0.0.1") -> int:
    """Return a free port, if possible the preferred one. Raises OSError."""
    for port in (preferred, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            free: int = probe.getsockname()[1]
            return free
    raise OSError("no port is free")


def wait_until(is_ready: Callable[[], bool], seconds: float, every: float = 0.03) -> bool:
    """Wait until a condition holds, checked every `every` seconds; return False after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_ready():
            return True
        time.sleep(every)
    return False
