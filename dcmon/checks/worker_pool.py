"""Child processes that run checks, within bounds on CPU time and memory: what a check does costs its own result only.

They are forked by checks.fork_server, get rows by pipe, never see the database, and are replaced after some hundred
checks.
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

from dcmon import errors
from dcmon.checks import fork_server
from dcmon.checks.dataset_schema import Value
from dcmon.checks.workload import Answer, Key, Workload
from dcmon.settings import Evaluate
from dcmon.states import ResultState

KEPT = 16  # rows of references that a child keeps from window to window
LOOKED_EVERY = 0.5  # seconds between looks at a child that works
MOVES = 0.1  # seconds of CPU time that tell a process at work from one that only looks whether it may go on
REST_COMES_IN = 5  # seconds between the parts of an answer
LONGEST_ANSWER = 100_000_000  # bytes; what claims to be longer is none


class Broken(Exception):
    """A child ended, or was ended, before it had answered."""


class Zygote:
    """The process that forks the children; one for this process, started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._is_ready = False

    def start(self) -> None:
        """Have it load its libraries meanwhile; nothing when it runs."""
        with self._lock:
            self._start()

    def fork(self, bounds: Evaluate) -> tuple[int, Connection]:
        """A new child: its process id, and the pipe to it."""
        ours, theirs = socket.socketpair()
        # What claims to be longer than it is must not be waited for: leases end meanwhile.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", REST_COMES_IN, 0))
        given = {"cpu": bounds.cpu.total_seconds(), "memory": bounds.memory}
        with theirs:
            pid = self._ask(fork_server.FORK + json.dumps(given).encode(), [theirs.fileno()])
        return pid, Connection(ours.detach())

    def status(self, pid: int) -> int:
        """How a child ended; it is ended when it goes on."""
        return self._ask(fork_server.WAIT + fork_server.ANSWER.pack(pid))

    def _ask(self, request: bytes, fds: Iterable[int] = ()) -> int:
        with self._lock:
            try:
                return self._exchange(request, list(fds))
            except (OSError, EOFError):  # it was killed: its children are gone with it
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
            self._control, theirs = socket.socketpair()
            with theirs:
                command = [sys.executable, "-m", "dcmon.checks.fork_server", str(theirs.fileno())]
                # In a group of its own: a terminal's Ctrl-C is for who asked, and who asked ends it.
                self._process = subprocess.Popen(
                    command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno(),
                    process_group=0,
                )  # fmt: skip
            self._is_ready = False
        return self._control

    def _read(self, control: socket.socket) -> int:
        answer = control.recv(fork_server.ANSWER.size, socket.MSG_WAITALL)
        if len(answer) < fork_server.ANSWER.size:
            raise EOFError
        [number] = fork_server.ANSWER.unpack(answer)
        return int(number)

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._control = self._process = None

    def stop(self) -> None:
        """End it, and with it every child."""
        with self._lock:
            self._stop()


ZYGOTE = Zygote()
atexit.register(ZYGOTE.stop)


class _Stillness:
    """How long a process does nothing. One that others keep from the processor still gets a little of it.

    Where its CPU time can't be read, and where it only ever takes a little, it may take ten times as long in all.
    """

    def __init__(self, pid: int | None, most: float) -> None:
        self._pid, self._most = pid, most
        self._began = self._moved = time.monotonic()
        self._cpu = _cpu(pid)

    def look(self) -> None:
        """Raises Broken when it has been still for too long."""
        now, cpu = time.monotonic(), _cpu(self._pid)
        if cpu is None or self._cpu is None or cpu - self._cpu > MOVES:
            self._moved, self._cpu = now, cpu
        if now - self._moved > self._most:
            raise Broken(f"It hung: it did nothing for {self._most:g} s (DCMON_EVALUATE__HANG).")
        if now - self._began > 10 * self._most:
            raise Broken(f"It hung: no answer in {10 * self._most:g} s (ten times DCMON_EVALUATE__HANG).")


def _cpu(pid: int | None) -> float | None:
    """The seconds of CPU time that a process and those that it waited for have taken; None where nobody says so."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return sum(map(int, file.read().rpartition(")")[2].split()[11:15])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return None


class Child:
    """A process that runs one workload after the other; another one takes its place when it is old, or dies."""

    def __init__(self, bounds: Evaluate, origin: Zygote = ZYGOTE) -> None:
        self._bounds, self._zygote = bounds, origin
        self._pid: int | None = None
        self._pipe: Connection | None = None
        self._kept: OrderedDict[Key, None] = OrderedDict()
        self._asked = 0
        origin.start()

    @property
    def pid(self) -> int | None:
        """The process that there is now."""
        return self._pid

    def run(self, workload: Workload, wait: Callable[[], None] = lambda: None) -> list[Answer]:
        """The answer to every ask. One that ends its process is tried once more alone, then it is an ERROR.

        `wait` is called twice a second while a check runs; what it raises ends the child.
        """
        answers, left = list[Answer](), list(workload.asks)
        while left:
            done, why = self._try(replace(workload, asks=left), wait)
            answers += done
            left = left[len(done) :]
            if why is not None and left:
                culprit = left.pop(0)
                again, why = self._try(replace(workload, asks=[culprit]), wait)
                answers += again or [
                    Answer(culprit.monitor_id, Value(ResultState.ERROR, reason=why), is_baseline=culprit.is_baseline)
                ]
        return answers

    def _try(self, workload: Workload, wait: Callable[[], None]) -> tuple[list[Answer], str | None]:
        """The answers that came, and why no more did."""
        answers, pipe = list[Answer](), self._ready()
        try:
            pipe.send(self._without_kept(workload))
            while (answer := self._answer(pipe, wait)) is not None:
                answers.append(answer)
        except Broken as broken:
            self.end()
            return answers, str(broken)
        except (EOFError, OSError):
            return answers, self._reason()
        except BaseException:
            self.end()
            raise
        self._asked += len(answers)
        return answers, None

    def _ready(self) -> Connection:
        if self._pipe is None or self._asked >= self._bounds.recycle:
            self.end()
            self._pid, self._pipe = self._zygote.fork(self._bounds)
            self._asked = 0
            self._kept.clear()
        return self._pipe

    def _without_kept(self, workload: Workload) -> Workload:
        """What the child needs to be sent: not the references that it keeps, but which of them it may forget."""
        wanted = workload.keys
        rows = {key: workload.rows[key] for key in wanted if key not in self._kept}
        for key in wanted:
            if key.is_lasting:
                self._kept[key] = None
                self._kept.move_to_end(key)
        forgotten = [self._kept.popitem(last=False)[0] for _ in range(len(self._kept) - max(KEPT, len(wanted)))]
        return replace(workload, rows=rows, forgotten=forgotten)

    def _answer(self, pipe: Connection, wait: Callable[[], None]) -> Answer | None:
        stillness = _Stillness(self._pid, self._bounds.hang.total_seconds())
        while not pipe.poll(LOOKED_EVERY):
            wait()
            stillness.look()
        try:
            answer: Answer | None = pickle.loads(pipe.recv_bytes(LONGEST_ANSWER))
        except (EOFError, ConnectionError):
            raise
        except Exception as error:
            raise Broken("It wrote into what dcmon keeps open.") from error
        return answer

    def _reason(self) -> str:
        assert self._pid is not None
        status, self._pid = self._zygote.status(self._pid), None
        self.end()
        if status == fork_server.OUT_OF_MEMORY:
            return f"It needs more than {self._bounds.memory:,} bytes of memory (DCMON_EVALUATE__MEMORY)."
        if status == -signal.SIGXCPU:
            spent = self._bounds.cpu.total_seconds()
            return f"It took more than {spent:g} s of CPU time (DCMON_EVALUATE__CPU)."
        said = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        return f"It ended its process with {said}."

    def end(self) -> None:
        """End the process; the next workload gets another."""
        if self._pipe is not None:
            self._pipe.close()
        if self._pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._zygote.status(self._pid)
        self._pipe = self._pid = None

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()
