"""A check that crashes, hangs, loops or exhausts memory affects only its own result."""

import fcntl
import itertools
import os
import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from dcmon.checks import worker_pool
from dcmon.checks.dataset_schema import DatasetSchema
from dcmon.checks.kinds import REGISTRY
from dcmon.checks.worker_pool import CheckWorker, ForkServer
from dcmon.checks.workload import CheckRequest, CheckResult, RowsKey, Workload
from dcmon.settings import Evaluate
from dcmon.storage.column_blocks import ColumnarSample
from dcmon.windows import Window
from tests.helpers.waiting import PATIENCE
from tests.integration.conftest import eventually

CHECKS = """
import os, subprocess, time
from joblib import Parallel as Parallel_, delayed
from deepchecks.core import CheckResult
from deepchecks.core.reduce_classes import ReduceMixin
from deepchecks.tabular import SingleDatasetCheck, TrainTestCheck

class Half(SingleDatasetCheck, ReduceMixin):
    def __init__(self, argument=None, **kwargs):
        super().__init__(**kwargs)
        self.argument = argument
    def run_logic(self, context, dataset_kind):
        self.misbehave()
        return CheckResult(0.5)
    def misbehave(self):
        pass
    def reduce_output(self, result):
        return {"score": result.value}

class ReferenceRows(TrainTestCheck, ReduceMixin):
    def run_logic(self, context):
        return CheckResult(len(context.train.data))
    def reduce_output(self, result):
        return {"rows": result.value}

class Named(Half):
    def reduce_output(self, result):
        return dict.fromkeys(self.argument, result.value)

class Crash(Half):
    def misbehave(self):
        os._exit(5)

class CrashOnce(Half):
    def misbehave(self):
        if not os.path.exists(self.argument):
            open(self.argument, "w").close()
            os.abort()

class Loop(Half):
    def misbehave(self):
        while True:
            pass

class Sleep(Half):
    def misbehave(self):
        time.sleep(3600)

class Work(Half):
    def misbehave(self):
        until = time.monotonic() + self.argument
        while time.monotonic() < until:
            pass

class Poll(Half):
    def misbehave(self):
        while True:
            time.sleep(0.01)

class Eat(Half):
    def misbehave(self):
        kept = []
        while True:
            kept.append(bytearray(10_000_000))

class Start(Half):
    def misbehave(self):
        process = subprocess.Popen(["sleep", "3600"])
        with open(self.argument, "w") as file:
            file.write(str(process.pid))

class Parallel(Half):
    def misbehave(self):
        pids = set(Parallel_(n_jobs=2)(delayed(os.getpid)() for _ in range(8)))
        assert pids == {os.getpid()}

class Scribble(Half):
    def misbehave(self):
        for fd in range(3, 64):
            try:
                os.write(fd, self.argument)
            except OSError:
                pass
"""
LAYOUT = DatasetSchema("binary", {"age": "numeric"}, ["0", "1"])
KEY = RowsKey(1, 1, None, 1, "null", False, 100)
CURRENT = replace(KEY, window=Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)))


@pytest.fixture(scope="module")
def _misbehaving_checks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give processes that are started here a package that registers misbehaving checks."""
    path = tmp_path_factory.mktemp("misbehaving")
    (path / "misbehaving.py").write_text(CHECKS)
    description = path / "misbehaving-1.dist-info"
    description.mkdir()
    (description / "METADATA").write_text("Metadata-Version: 2.1\nName: misbehaving\nVersion: 1\n")
    points = "".join(f"{name} = misbehaving:{name}\n" for name in re.findall(r"(?m)^class (\w+)", CHECKS))
    (description / "entry_points.txt").write_text(f"[{REGISTRY}]\n{points}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(path))
        yield


@pytest.fixture(scope="module")
def fork_server(_misbehaving_checks: None) -> Iterator[ForkServer]:
    """Run a fork server for these tests."""
    new_server = ForkServer()
    yield new_server
    new_server.stop()


@pytest.fixture
def clock_of_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count the time in which a check may hang by polls: a moment in which the machine does nothing is one poll."""
    ticks = itertools.count(0, worker_pool.POLL_SECONDS)
    monkeypatch.setattr(worker_pool, "time", SimpleNamespace(monotonic=ticks.__next__))
    monkeypatch.setattr(worker_pool, "RECEIVE_TIMEOUT", int(PATIENCE))


def rows(n: int = 100) -> ColumnarSample:
    """Return rows as PostgreSQL packs them into columns."""
    ages = struct.pack(f">{n}d", *range(n))
    classes = b"\0".join(b"%d" % (index % 2) for index in range(n))
    column_types = {"age": "numeric", "_dc_prediction": "categorical", "_dc_label": "categorical"}
    return ColumnarSample(column_types, [(n, ages, classes, classes)])


def request_for(number: int, check: str, argument: object = None) -> CheckRequest:
    params = {} if argument is None else {"argument": argument}
    return CheckRequest(number, REGISTRY, check, params, None, ("age",), KEY)


def run(child: CheckWorker, *checks: str | tuple[str, object]) -> list[CheckResult]:
    """Run checks by name, each alone or with its argument."""
    asks = [
        request_for(number, *(check if isinstance(check, tuple) else (check,))) for number, check in enumerate(checks)
    ]
    return child.run(Workload(LAYOUT, asks, {KEY: rows()}))


def summarize(results: list[CheckResult]) -> list[tuple[str, object]]:
    return [(result.value.state, result.value.reason or result.value.metrics) for result in results]


VALUE = ("OK", {"score": 0.5})


def test_check_that_ends_its_process_fails_alone(fork_server: ForkServer) -> None:
    """Checks before and after it in the same request have their values."""
    with CheckWorker(Evaluate(), fork_server) as child:
        outcomes = summarize(run(child, "Half", "Crash", "Half"))

    assert outcomes == [VALUE, ("ERROR", "The check ended its process with exit status 5."), VALUE]


def test_check_that_crashes_once_succeeds_at_the_second_try(fork_server: ForkServer, tmp_path: Path) -> None:
    with CheckWorker(Evaluate(), fork_server) as child:
        outcomes = summarize(run(child, ("CrashOnce", str(tmp_path / "crashed")), "Half"))

    assert outcomes == [VALUE, VALUE]


def test_invalid_characters_in_a_metric_name_are_replaced(fork_server: ForkServer) -> None:
    with CheckWorker(Evaluate(), fork_server) as child:
        outcomes = summarize(run(child, ("Named", ["name \0", "\ud800"]), "Half"))

    assert outcomes == [("OK", {"name ?": 0.5, "?": 0.5}), VALUE]


@pytest.mark.parametrize("written", [b"garbage", b"\0\0\0\7garbage", b"\0\1\0\0too short"])
def test_check_that_writes_into_open_files_fails_alone(fork_server: ForkServer, written: bytes) -> None:
    """It writes to every open file descriptor, also to the result pipe of the worker."""
    with CheckWorker(Evaluate(), fork_server) as child:
        outcomes = summarize(run(child, "Half", ("Scribble", written), "Half"))

    assert [state for state, _ in outcomes] == ["OK", "ERROR", "OK"]


def test_endless_loop_of_a_check_ends_at_the_cpu_limit(fork_server: ForkServer) -> None:
    with CheckWorker(Evaluate(cpu=timedelta(seconds=1)), fork_server) as child:
        outcomes = summarize(run(child, "Loop", "Half"))

    assert outcomes == [("ERROR", "The check took more than 1 s of CPU time (DCMON_EVALUATE__CPU)."), VALUE]


@pytest.mark.usefixtures("clock_of_polls")
def test_sleeping_check_is_stopped_as_hanging(fork_server: ForkServer) -> None:
    with CheckWorker(Evaluate(hang=timedelta(seconds=2)), fork_server) as child:
        outcomes = summarize(run(child, "Half", "Sleep"))

    assert outcomes == [VALUE, ("ERROR", "The check hung: it computed nothing for 2 s (DCMON_EVALUATE__HANG).")]


@pytest.mark.usefixtures("clock_of_polls")
def test_check_that_computes_longer_than_the_hang_bound_succeeds(fork_server: ForkServer) -> None:
    """The bound is 3 seconds, because a process on a busy machine may wait a second for CPU time."""
    with CheckWorker(Evaluate(hang=timedelta(seconds=3)), fork_server) as child:
        assert summarize(run(child, ("Work", 7.0))) == [VALUE]


@pytest.mark.usefixtures("clock_of_polls")
def test_check_that_only_polls_is_stopped_as_hanging(fork_server: ForkServer) -> None:
    """Its CPU time is negligible."""
    with CheckWorker(Evaluate(hang=timedelta(seconds=1)), fork_server) as child:
        [(state, reason)] = summarize(run(child, "Poll"))

    assert (state, "The check hung" in reason) == ("ERROR", True)


def test_memory_use_of_a_check_ends_at_the_memory_limit(fork_server: ForkServer) -> None:
    with CheckWorker(Evaluate(memory=300_000_000), fork_server) as child:
        outcomes = summarize(run(child, "Eat", "Half"))

    assert outcomes == [
        ("ERROR", "The check needs more than 300,000,000 bytes of memory (DCMON_EVALUATE__MEMORY)."),
        VALUE,
    ]


def test_check_process_is_replaced_after_its_last_check(fork_server: ForkServer) -> None:
    """The new process has no cached reference of the old one."""
    with CheckWorker(Evaluate(recycle=2), fork_server) as child:
        pids = set()
        for _ in range(4):
            assert summarize(run(child, "Half")) == [VALUE]
            pids.add(child._pid)

    assert len(pids) == 2
    assert not any(psutil.pid_exists(pid) for pid in pids if pid)


@pytest.mark.parametrize("whom", ["child", "fork server"])
def test_killed_check_process_or_fork_server_is_replaced(fork_server: ForkServer, whom: str) -> None:
    with CheckWorker(Evaluate(), fork_server) as child:
        assert summarize(run(child, "Half")) == [VALUE]
        assert child._pid is not None
        assert fork_server._process is not None
        os.kill(child._pid if whom == "child" else fork_server._process.pid, signal.SIGKILL)

        assert summarize(run(child, "Half", "Half")) == [VALUE, VALUE]


def test_reference_cache_drops_the_least_recently_used(fork_server: ForkServer) -> None:
    keys = [replace(KEY, reference_revision=number) for number in range(40)]
    with CheckWorker(Evaluate(), fork_server) as child:
        for key in [*keys, keys[-1], keys[0]]:
            n_rows = 10 + key.reference_revision
            compare = CheckRequest(1, REGISTRY, "ReferenceRows", {}, None, ("age",), CURRENT, key)
            [response] = child.run(Workload(LAYOUT, [compare], {CURRENT: rows(), key: rows(n_rows)}))
            assert response.value.metrics == {"rows": n_rows}, response.value
        assert set(child._sent) == {*keys[-15:], keys[0]}


@pytest.mark.usefixtures("_misbehaving_checks")
def test_check_processes_end_with_their_parent() -> None:
    server = ForkServer()
    with CheckWorker(Evaluate(), server) as child:
        assert run(child) == []
        assert summarize(run(child, "Half")) == [VALUE]
        assert child._pid is not None
        assert server._process is not None
        forked, forking = psutil.Process(child._pid), psutil.Process(server._process.pid)
        assert server._control is not None
        server._control.close()
        _, alive = psutil.wait_procs([forking], timeout=300)
        assert not alive
        assert eventually(lambda: not forked.is_running() or forked.status() == psutil.STATUS_ZOMBIE)
    server.stop()


@pytest.mark.parametrize("how", ["worker ends", "fork server ends"])
@pytest.mark.usefixtures("_misbehaving_checks")
def test_process_that_a_check_started_ends_with_it(tmp_path: Path, how: str) -> None:
    """It would stay after `dcmon down`, and nothing but its number would lead to it."""
    server, note = ForkServer(), tmp_path / "pid"
    with CheckWorker(Evaluate(), server) as child:
        assert summarize(run(child, ("Start", str(note)))) == [VALUE]
        started = psutil.Process(int(note.read_text()))
        assert started.is_running()
        if how == "worker ends":
            child.end()
        else:
            server.stop()
        assert eventually(lambda: not started.is_running() or started.status() == psutil.STATUS_ZOMBIE)
    server.stop()


def test_check_that_computes_in_parallel_starts_no_process(fork_server: ForkServer) -> None:
    """The limits on CPU time and memory are those of one process."""
    with CheckWorker(Evaluate(), fork_server) as child:
        assert summarize(run(child, "Parallel")) == [VALUE]


def test_fork_server_that_still_loads_ends_with_its_parent() -> None:
    """Loading deepchecks takes half a minute on a busy machine; `dcmon down` must leave no process."""
    control, child_end = socket.socketpair()
    with child_end:
        command = [sys.executable, "-m", "dcmon.checks.fork_server", str(child_end.fileno())]
        process = subprocess.Popen(command, pass_fds=[child_end.fileno()], stdin=subprocess.DEVNULL)
        # Both processes have the same socket in the same open file, and with it the flags.
        assert eventually(lambda: bool(fcntl.fcntl(child_end, fcntl.F_GETFL) & os.O_ASYNC), every=0.001)
    control.close()
    assert process.wait(PATIENCE) == -signal.SIGIO
