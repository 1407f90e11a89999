"""The process that loads deepchecks once, and forks the check workers that use it.

It loads deepchecks and starts no thread, so that forking is safe. checks.worker_pool starts
`python -m dcmon.checks.fork_server FD`; FD is the control socket. When the parent closes the control socket, this
process and all check workers end.
"""

import ctypes
import fcntl
import gc
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from dcmon import errors, user_code

FORK, WAIT = b"F", b"W"
REPLY = struct.Struct("!i")
MAX_REQUEST_BYTES = 4096
OUT_OF_MEMORY = 12  # exit status of a check worker that needed more memory than its limit
EXIT_TIMEOUT = 5.0  # seconds that a check worker has to end after it closed its pipe
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def main() -> None:
    """Load deepchecks, then fork check workers until the control socket is closed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent ends this process, after the window that it evaluates
    control = socket.socket(fileno=int(sys.argv[1]))
    try:
        user_code.enter(sys.argv[2:])
    except errors.InvalidInput as error:
        sys.exit(f"dcmon: {error}")
    with _end_when_closed(control):
        import dcmon.checks.worker  # noqa: F401

    gc.collect()
    gc.freeze()  # the workers share these pages with this process until one writes to them
    workers = set[int]()
    with suppress(BrokenPipeError, ConnectionResetError):  # the parent ended
        _serve_requests(control, workers)
    for pid in workers:
        end_group(pid)


def end_group(pid: int) -> None:
    """Kill a check worker and the processes that its checks started. The caller must not have waited for it yet."""
    for kill in (os.killpg, os.kill):  # the second one for a worker that has no group yet
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


@contextmanager
def _end_when_closed(control: socket.socket) -> Iterator[None]:
    """End this process at once when the parent closes the control socket or ends.

    Loading takes seconds, on a busy machine half a minute, in which nothing reads the socket. The kernel sends SIGIO
    when the socket is closed. The parent sends no request before this process is ready, so nothing else causes SIGIO.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    flags = fcntl.fcntl(control, fcntl.F_GETFL)
    fcntl.fcntl(control, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(control, fcntl.F_SETFL, flags | os.O_ASYNC)
    poll = select.poll()  # select.select fails with file descriptors above 1023, which a large server has
    poll.register(control, select.POLLIN)
    if poll.poll(0):  # the socket was closed before the kernel was asked for the signal
        sys.exit(0)
    yield
    fcntl.fcntl(control, fcntl.F_SETFL, flags)


def _serve_requests(control: socket.socket, workers: set[int]) -> None:
    control.sendall(REPLY.pack(os.getpid()))
    while True:
        request, fds, _, _ = socket.recv_fds(control, MAX_REQUEST_BYTES, 1)
        if not request:
            return
        if request[:1] == FORK:
            workers.add(pid := _fork(control, fds[0], json.loads(request[1:])))
            control.sendall(REPLY.pack(pid))
        else:
            [pid] = REPLY.unpack(request[1:])
            workers.discard(pid)
            control.sendall(REPLY.pack(_exit_status(pid)))


def _fork(control: socket.socket, fd: int, limits: dict[str, Any]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        os.close(fd)
        return pid
    control.close()
    try:
        os.setpgid(0, 0)
        _end_with_parent(parent)
        serve(Connection(fd), limits["cpu"], limits["memory"])
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except (EOFError, OSError):
        os._exit(0)  # the parent process closed the pipe
    except BaseException:
        sys.excepthook(*sys.exc_info())
    os._exit(1)


def _end_with_parent(parent: int) -> None:
    """Make the kernel kill this process when its parent ends or is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _exit_status(pid: int) -> int:
    """Wait for a worker to end, and return its exit status. What its checks started is ended too.

    A worker that does not end in time is killed. A worker that a signal ended has the negative number of the signal.
    """
    deadline = time.monotonic() + EXIT_TIMEOUT
    # WNOWAIT leaves the ended worker as it is, so that no other process can get the number of its group meanwhile.
    while time.monotonic() < deadline and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        time.sleep(0.01)
    end_group(pid)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def serve(connection: Connection, cpu: float, memory: int) -> NoReturn:
    """Run workloads as they arrive, within limits.

    `cpu`: seconds of CPU time for each check. `memory`: bytes for the process.
    """
    from dcmon.checks.worker import WorkloadRunner

    _limit_memory(memory)
    runner = WorkloadRunner()
    while True:
        workload = connection.recv()
        results = runner.run(workload)
        while True:
            _limit_cpu(cpu)
            result = next(results, None)
            connection.send(result)
            if result is None:
                break


def _limit_memory(memory: int) -> None:
    """Limit the memory of this process to `memory` bytes more than it uses now."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))


def _limit_cpu(seconds: float) -> None:
    """Make the kernel kill this process after `seconds` more of CPU time.

    CPU time, unlike elapsed time, does not depend on what else the machine does.
    """
    limit = int(time.process_time() + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
