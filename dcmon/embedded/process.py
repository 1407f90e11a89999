"""Child processes that never outlive whoever started them, and files that are whole or not there."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_PR_SET_PDEATHSIG = 1


def dies_with_parent(signal_number: int) -> Callable[[], None] | None:
    """What a child runs before exec so that the kernel signals it when its parent dies (prctl(2), Linux only).

    It must come after the change of user, which would clear it.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal_number)

    return ask


def start(
    command: Sequence[str],
    *,
    output: int | IO[bytes],
    environment: Mapping[str, str] | None = None,
    user: int | None = None,
    on_parent_death: int = signal.SIGTERM,
) -> "subprocess.Popen[bytes]":
    """Start a child in a session of its own: a terminal's Ctrl-C does not reach it."""
    given: dict[str, Any] = {} if user is None else {"user": user, "group": user_group(user), "extra_groups": []}
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=None if environment is None else dict(environment),
        cwd="/",
        start_new_session=True,
        preexec_fn=dies_with_parent(on_parent_death),
        **given,
    )


def stop(process: "subprocess.Popen[bytes]", signal_number: int, patience: float) -> None:
    """Ask a child to stop; kill it when it has not after `patience` seconds."""
    if process.poll() is None:
        process.send_signal(signal_number)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def user_group(user: int) -> int:
    """The id of the group that a user belongs to first."""
    import pwd

    return pwd.getpwuid(user).pw_gid


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
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


def command_line(pid: int) -> str:
    """What a process was started with; empty when that can't be known."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def free_port(preferred: int | None = None, host: str = "127.0.0.1") -> int:
    """A port nobody listens on: the preferred one when it is free."""
    for port in (preferred, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise OSError("no port is free")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON, readable by its owner only, so that a reader sees the old or the new content."""
    beside = path.with_suffix(".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, default=str)
    beside.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """JSON that write_whole wrote; None when it is not there."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found


def wait_until(is_ready: Callable[[], bool], seconds: float, every: float = 0.03) -> bool:
    """Whether something came true in time."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if is_ready():
            return True
        time.sleep(every)
    return False
