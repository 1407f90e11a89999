"""The embedded servers and dcmon's own processes: started in order, kept running, stopped in order."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from dcmon import errors
from dcmon.embedded import child, postgres, process, supervisor_state, valkey
from dcmon.embedded.child import Child
from dcmon.embedded.environment import child_environment
from dcmon.embedded.server import Server
from dcmon.embedded.supervisor_state import SupervisorState
from dcmon.settings import Settings
from dcmon.states import ProcessKind

READY_SECONDS, STOP_SECONDS = 60.0, 15.0
WATCH_SECONDS = 0.2  # between two checks of the processes
LOG_DELAY = 0.2  # seconds; a process that ended has its last line in its log by then


class ProcessGroup:
    """All that `dcmon up` runs."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.started_at, self.is_ready = settings, datetime.now(UTC), False
        self.servers: list[Child] = []
        self.children: list[Child] = []
        self._stop_server: dict[str, Callable[[], None]] = {}

    def start(self, stop: threading.Event) -> None:
        """Start the servers, migrate the database, start dcmon's processes; return when the endpoint answers."""
        environment = child_environment(self.settings)
        if self.settings.database_url is None:
            environment["DCMON_DATABASE_URL"] = self._start_server("postgres", postgres.start)
            if self.settings.redis_url is None:
                environment["DCMON_REDIS_URL"] = self._start_server("valkey", valkey.start)
        _migrate(environment)
        for name, arguments in _commands(self.settings).items():
            started = Child(name, partial(child.start_command, arguments, environment, self._log_file(name)))
            started.start()
            self.children.append(started)
        self._write_state()
        self._wait_for_endpoint(stop)
        self.is_ready = True
        self._write_state()

    def watch(self, stop: threading.Event) -> None:
        """Start processes that have ended again, until `stop` is set."""
        while not stop.wait(WATCH_SECONDS):
            if any(started.watch() for started in (*self.servers, *self.children)):
                self._write_state()

    def stop(self) -> None:
        """Stop dcmon's processes, all at once, then the servers."""
        running = [started.process for started in self.children if started.process and started.process.poll() is None]
        for running_child in running:
            running_child.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for running_child in running:
            process.stop(running_child, signal.SIGTERM, max(0.1, deadline - time.monotonic()))
        for server in reversed(self.servers):
            self._stop_server[server.name]()

    def _start_server(self, name: str, start: Callable[[Path], Server]) -> str:
        """Start an embedded server and return its URL. A server that is started again keeps its port and URL."""
        url = ""

        def begin() -> "subprocess.Popen[bytes]":
            nonlocal url
            server = start(self.settings.data_dir)
            self._stop_server[name], url = server.stop, server.url
            return server.process

        server_child = Child(name, begin)
        server_child.start()
        self.servers.append(server_child)
        return url

    def _wait_for_endpoint(self, stop: threading.Event) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not stop.is_set() and not supervisor_state.is_endpoint_up(self.settings):
            if time.monotonic() > deadline:
                log_end = self._last_log_line(ProcessKind.SERVE)
                raise errors.DcmonError(f"The endpoint did not answer in {READY_SECONDS:.0f} s. {log_end}")
            for started in self.children:
                code = started.process.poll() if started.process else 0
                if code is not None:
                    log_end = self._last_log_line(started.name)
                    raise errors.DcmonError(f"{started.name} ended with {child.describe_exit(code)}. {log_end}")
            stop.wait(0.05)

    def _log_file(self, name: str) -> Path:
        return self.settings.data_dir / "logs" / f"{name}.log"

    def _last_log_line(self, name: str) -> str:
        time.sleep(LOG_DELAY)
        file = self._log_file(name)
        lines = file.read_text(errors="replace").strip().splitlines() if file.exists() else []
        return f"Its last message: {lines[-1].removeprefix('dcmon: ')} (see {file})" if lines else f"See {file}."

    def _write_state(self) -> None:
        children = [started.describe() for started in (*self.servers, *self.children)]
        state = SupervisorState(os.getpid(), self.settings.url, self.started_at.isoformat(), self.is_ready, children)
        supervisor_state.write(self.settings.data_dir, state)


def _migrate(environment: Mapping[str, str]) -> None:
    """Run `dcmon migrate` and raise its last message as an error if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "dcmon", "migrate"], env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode:
        message = (done.stderr.strip().splitlines() or ["The migration failed."])[-1].removeprefix("dcmon: ")
        by_exit_code = {4: errors.DatabaseRefused, 6: errors.Locked, 7: errors.Unreachable}
        raise by_exit_code.get(done.returncode, errors.DcmonError)(message)


def _commands(settings: Settings) -> dict[str, list[str]]:
    """Return the arguments of dcmon's own processes, by name."""
    workers = [ProcessKind.EVALUATE, ProcessKind.NOTIFY, ProcessKind.SCHEDULER]
    if settings.kafka.bootstrap_servers:
        workers.insert(0, ProcessKind.INGEST)
    return {ProcessKind.SERVE: ["serve"], **{name: ["worker", "start", name] for name in workers}}
