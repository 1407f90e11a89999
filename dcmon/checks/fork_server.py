"""The process that loads deepchecks, once, before it has a thread or a socket of its own, and forks those that use it.

`python -m dcmon.checks.fork_server FD` is started by dcmon.checks.worker_pool; FD leads back to it. When it hangs
up, all of them end.
"""

import ctypes
import gc
import json
import os
import resource
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NoReturn

FORK, WAIT = b"F", b"W"
ANSWER = struct.Struct("!i")
LONGEST_REQUEST = 4096
OUT_OF_MEMORY = 12  # the exit status of a child that met its bound
WAITED_FOR = 5.0  # seconds that a child which hung up has to end by itself
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def main() -> None:
    """Load deepchecks, then fork a child for each request until the other end hangs up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent decides: it may have a window to finish
    control = socket.socket(fileno=int(sys.argv[1]))
    import dcmon.checks.worker  # noqa: F401

    gc.collect()
    gc.freeze()  # the children share these pages as long as nobody writes to them
    children = set[int]()
    with suppress(BrokenPipeError, ConnectionResetError):  # whoever asked is gone
        _follow(control, children)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _follow(control: socket.socket, children: set[int]) -> None:
    control.sendall(ANSWER.pack(os.getpid()))
    while True:
        request, fds, _, _ = socket.recv_fds(control, LONGEST_REQUEST, 1)
        if not request:
            return
        if request[:1] == FORK:
            children.add(pid := _fork(control, fds[0], json.loads(request[1:])))
            control.sendall(ANSWER.pack(pid))
        else:
            [pid] = ANSWER.unpack(request[1:])
            children.discard(pid)
            control.sendall(ANSWER.pack(_status(pid)))


def _fork(control: socket.socket, fd: int, bounds: dict[str, Any]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        os.close(fd)
        return pid
    control.close()
    try:
        _end_with(parent)
        serve(Connection(fd), bounds["cpu"], bounds["memory"])
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except (EOFError, OSError):
        os._exit(0)  # nobody asks any more
    except BaseException:
        sys.excepthook(*sys.exc_info())
    os._exit(1)


def _end_with(parent: int) -> None:
    """Have the system kill this process when its parent ends, however that does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _status(pid: int) -> int:
    """How a child ended: its exit status, or the signal's number, negative. One that does not end is killed."""
    until = time.monotonic() + WAITED_FOR
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def serve(connection: Connection, cpu: float, memory: int) -> NoReturn:
    """Run workloads as they come; each ask may take so many seconds of CPU, all of it so many bytes."""
    from dcmon.checks.worker import Bench

    _bound_memory(memory)
    bench = Bench()
    while True:
        workload = connection.recv()
        answers = bench.run(workload)
        while True:
            _bound_cpu(cpu)
            answer = next(answers, None)
            connection.send(answer)
            if answer is None:
                break


def _bound_memory(memory: int) -> None:
    """What the libraries take is not counted."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + memory, taken + memory))


def _bound_cpu(seconds: float) -> None:
    """The kernel kills who takes more: it counts the work, not the time that others took away."""
    bound = int(time.process_time() + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (bound, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
