"""Processes that run checks within limits on CPU time and memory.

A check that fails, hangs or ends its process affects only its own result. checks.fork_server forks the check workers.
A check worker gets rows through a pipe, has no access to the database, and is replaced after some hundred checks
(DCMON_EVALUATE__RECYCLE).
"""

import atexit
import json
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from types import TracebackType
from typing import NamedTuple

from dcmon import errors, user_code
from dcmon.checks import fork_server
from dcmon.checks.dataset_schema import CheckValue
from dcmon.checks.workload import CheckResult, RowsKey, Workload
from dcmon.settings import Evaluate
from dcmon.states import ResultState

MAX_CACHED_REFERENCES = 16  # references whose rows a check worker caches from window to window
POLL_SECONDS = 0.5  # time between two looks at a check worker that computes
MIN_CPU_PROGRESS = 0.1  # seconds of CPU time: a process that uses less only polls, and does not compute
RECEIVE_TIMEOUT = 5  # seconds between the parts of a result
# joblib, which scikit-learn uses, would start processes that the limits on CPU time and memory don't bound.
ONE_PROCESS = {"JOBLIB_MULTIPROCESSING": "0"}
STOP_TIMEOUT = 10  # seconds that the fork server has to end its workers
MAX_RESULT_BYTES = 100_000_000  # a message that claims to be longer is not a result: the check wrote to the pipe


class WorkerFailed(Exception):
    """A check worker ended, or was stopped, before it returned a result."""


class ForkedProcess(NamedTuple):
    """A process of a check worker: its process id, and the pipe to it."""

    pid: int
    pipe: Connection


class _Attempt(NamedTuple):
    """The results of a workload, up to the check at which the worker failed.

    `failure`: the reason; None if the worker did not fail.
    """

    results: list[CheckResult]
    failure: str | None


class ForkServer:
    """The process that forks check workers.

    Each dcmon process has one, which is started when it is first needed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._is_ready = False

    def start(self) -> None:
        """Start the process unless it runs already.

        It loads its libraries in the background.
        """
        with self._lock:
            self._start()

    def fork(self, settings: Evaluate) -> ForkedProcess:
        """Fork a check worker."""
        parent_end, child_end = socket.socketpair()
        # Do not wait for the rest of a message that never comes: leases expire meanwhile.
        parent_end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", RECEIVE_TIMEOUT, 0))
        limits = {"cpu": settings.cpu.total_seconds(), "memory": settings.memory}
        with child_end:
            pid = self._request(fork_server.FORK + json.dumps(limits).encode(), [child_end.fileno()])
        return ForkedProcess(pid, Connection(parent_end.detach()))

    def status(self, pid: int) -> int:
        """Return the exit status of a check worker; a worker that still runs is killed.

        A worker that a signal ended has the negative number of the signal.
        """
        return self._request(fork_server.WAIT + fork_server.REPLY.pack(pid))

    def _request(self, request: bytes, fds: Iterable[int] = ()) -> int:
        with self._lock:
            try:
                return self._exchange(request, list(fds))
            except (OSError, EOFError):  # the fork server was killed, and its workers ended with it
                self._stop()
                if request[:1] == fork_server.WAIT:
                    return -signal.SIGKILL
            try:
                return self._exchange(request, list(fds))
            except (OSError, EOFError) as error:
                self._stop()
                raise errors.ChecksCantRun from error

    def _exchange(self, request: bytes, fds: list[int]) -> int:
        control = self._start()
        if not self._is_ready:
            self._read(control)
            self._is_ready = True
        socket.send_fds(control, [request], fds)
        return self._read(control)

    def _start(self) -> socket.socket:
        if self._control is None:
            self._control, child_end = socket.socketpair()
            with child_end:
                command = [sys.executable, "-m", "dcmon.checks.fork_server", str(child_end.fileno())]
                user_code.hide_own_environment()
                # In a process group of its own: Ctrl-C in a terminal must reach only dcmon, which ends the fork server.
                self._process = subprocess.Popen(
                    [*command, *user_code.arguments()], env=ONE_PROCESS | user_code.environment(),
                    pass_fds=[child_end.fileno()], stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(),
                    process_group=0,
                )  # fmt: skip
            self._is_ready = False
        return self._control

    def _read(self, control: socket.socket) -> int:
        reply = control.recv(fork_server.REPLY.size, socket.MSG_WAITALL)
        if len(reply) < fork_server.REPLY.size:
            raise EOFError
        [number] = fork_server.REPLY.unpack(reply)
        return int(number)

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):  # it ends its workers, and the processes that checks started
                self._process.wait(STOP_TIMEOUT)
            self._process.kill()
            self._process.wait()
        self._control = self._process = None

    def stop(self) -> None:
        """End the process, and all check workers with it."""
        with self._lock:
            self._stop()


FORK_SERVER = ForkServer()
atexit.register(FORK_SERVER.stop)


class _HangDetector:
    """Detect a process that uses no CPU time.

    A process that computes gets a little CPU time even on a busy machine. A process whose CPU time can't be read, or
    that uses a little CPU time all the time, may run for ten times the limit.
    """

    def __init__(self, pid: int | None, limit: float) -> None:
        self._pid, self._limit = pid, limit
        self._started_at = self._progressed_at = time.monotonic()
        self._cpu = _cpu_seconds(pid)

    def check(self) -> None:
        """Raise WorkerFailed when the process has used no CPU time for too long."""
        now, cpu = time.monotonic(), _cpu_seconds(self._pid)
        if cpu is None or self._cpu is None or cpu - self._cpu > MIN_CPU_PROGRESS:
            self._progressed_at, self._cpu = now, cpu
        if now - self._progressed_at > self._limit:
            raise WorkerFailed(f"The check hung: it computed nothing for {self._limit:g} s (DCMON_EVALUATE__HANG).")
        if now - self._started_at > 10 * self._limit:
            raise WorkerFailed(f"The check hung: no result in {10 * self._limit:g} s (ten times DCMON_EVALUATE__HANG).")


def _cpu_seconds(pid: int | None) -> float | None:
    """Return the CPU seconds of a process and of its ended children.

    None where the system has no /proc.
    """
    try:
        with open(f"/proc/{pid}/stat") as file:
            return sum(map(int, file.read().rpartition(")")[2].split()[11:15])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return None


class CheckWorker:
    """A process that runs workloads one by one.

    The process is replaced after some hundred checks, and when it has ended.
    """

    def __init__(self, limits: Evaluate, fork_server: ForkServer = FORK_SERVER) -> None:
        self._limits, self._fork_server = limits, fork_server
        self._pid: int | None = None
        self._pipe: Connection | None = None
        # The references that the worker has cached, the least recently used first. cachetools.LRUCache does not fit:
        # the worker must be told which references are evicted, and none of the next workload may be among them.
        self._sent: OrderedDict[RowsKey, None] = OrderedDict()
        self._checks_run = 0
        fork_server.start()

    @property
    def pid(self) -> int | None:
        """The id of the process; None before the first workload."""
        return self._pid

    def run(self, workload: Workload, wait: Callable[[], None] = lambda: None) -> list[CheckResult]:
        """Return the result of each request.

        A check that ends its process is tried once more alone; its result is an ERROR when it fails again. `wait` is
        called twice a second while a check runs; when `wait` raises an exception, the process is ended.
        """
        results, remaining = list[CheckResult](), list(workload.requests)
        while remaining:
            attempt = self._attempt(replace(workload, requests=remaining), wait)
            results += attempt.results
            remaining = remaining[len(attempt.results) :]
            if attempt.failure is not None and remaining:
                failed = remaining.pop(0)
                retry = self._attempt(replace(workload, requests=[failed]), wait)
                results += retry.results or [
                    CheckResult(
                        failed.monitor_id,
                        CheckValue(ResultState.ERROR, reason=retry.failure),
                        is_baseline=failed.is_baseline,
                    )
                ]
        return results

    def _attempt(self, workload: Workload, wait: Callable[[], None]) -> _Attempt:
        results, pipe = list[CheckResult](), self._ready()
        try:
            pipe.send(self._without_cached(workload))
            while (result := self._receive(pipe, wait)) is not None:
                results.append(result)
        except WorkerFailed as failure:
            self.end()
            return _Attempt(results, str(failure))
        except (EOFError, OSError):
            return _Attempt(results, self._exit_reason())
        except BaseException:
            self.end()
            raise
        self._checks_run += len(results)
        return _Attempt(results, None)

    def _ready(self) -> Connection:
        if self._pipe is None or self._checks_run >= self._limits.recycle:
            self.end()
            self._pid, self._pipe = self._fork_server.fork(self._limits)
            self._checks_run = 0
            self._sent.clear()
        return self._pipe

    def _without_cached(self, workload: Workload) -> Workload:
        """Leave out the references that the worker has cached.

        `evicted` of the returned workload names the least recently used references, which the worker drops.
        """
        keys = workload.keys
        rows = {key: workload.rows[key] for key in keys if key not in self._sent}
        for key in keys:
            if key.is_cacheable:
                self._sent[key] = None
                self._sent.move_to_end(key)
        evicted = [
            self._sent.popitem(last=False)[0] for _ in range(len(self._sent) - max(MAX_CACHED_REFERENCES, len(keys)))
        ]
        return replace(workload, rows=rows, evicted=evicted)

    def _receive(self, pipe: Connection, wait: Callable[[], None]) -> CheckResult | None:
        """Return the next result; None after the last one."""
        hang_detector = _HangDetector(self._pid, self._limits.hang.total_seconds())
        while not pipe.poll(POLL_SECONDS):
            wait()
            hang_detector.check()
        try:
            result: CheckResult | None = pickle.loads(pipe.recv_bytes(MAX_RESULT_BYTES))
        except (EOFError, ConnectionError):
            raise
        except Exception as error:
            raise WorkerFailed("The check wrote to dcmon's result pipe and was stopped.") from error
        return result

    def _exit_reason(self) -> str:
        assert self._pid is not None
        status, self._pid = self._fork_server.status(self._pid), None
        self.end()
        if status == fork_server.OUT_OF_MEMORY:
            return f"The check needs more than {self._limits.memory:,} bytes of memory (DCMON_EVALUATE__MEMORY)."
        if status == -signal.SIGXCPU:
            limit = self._limits.cpu.total_seconds()
            return f"The check took more than {limit:g} s of CPU time (DCMON_EVALUATE__CPU)."
        status_text = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        return f"The check ended its process with {status_text}."

    def end(self) -> None:
        """End the process; the next workload starts another one."""
        if self._pipe is not None:
            self._pipe.close()
        if self._pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._fork_server.status(self._pid)
        self._pipe = self._pid = None

    def __enter__(self) -> "CheckWorker":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()
