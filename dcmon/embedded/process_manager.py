"""Start, keep running and stop the embedded servers and dcmon's own processes."""

import logging
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
from dcmon.embedded import log_entries, managed_process, own_key, postgres, process, supervisor_state, valkey
from dcmon.embedded.environment import child_environment, comparable
from dcmon.embedded.managed_process import ManagedProcess
from dcmon.embedded.server import Server
from dcmon.embedded.supervisor_state import SupervisorState
from dcmon.settings import Settings
from dcmon.states import ProcessKind

log = logging.getLogger(__name__)
PARTLY_MIGRATED = 8  # an exit code of `dcmon migrate`
NO_LIBRARY = (
    'to encrypt them, install dcmon\'s wheel again with the extra [server] ("dcmon docs install"), start dcmon again,'
    " and type dcmon secret-key rotate."
)
READY_SECONDS, STOP_SECONDS = 60.0, 15.0
WATCH_SECONDS = 0.2  # between two checks of the processes
LOG_DELAY = 0.2  # seconds after the end of a process until its last line is in its log


def stop_seconds(settings: Settings) -> float:
    """Return how long dcmon's processes may take to stop. The group of endpoint processes needs a second more."""
    return max(STOP_SECONDS, settings.http.longest_stop + 1)


class ProcessManager:
    """All processes that `dcmon up` runs. Servers start first and stop last."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.started_at, self.is_ready = settings, datetime.now(UTC), False
        self.servers: list[ManagedProcess] = []
        self.dcmon_processes: list[ManagedProcess] = []
        self._stop_server: dict[str, Callable[[], None]] = {}

    def start(self, stop: threading.Event) -> None:
        """Start the servers, migrate the database and start dcmon's processes.

        Returns when the endpoint answers, or when `stop` is set.
        """
        environment = child_environment(self.settings)
        if self.settings.database_url is None:
            if not own_key.create(self.settings):
                log.warning("Secrets of receivers are stored as they are: %s", NO_LIBRARY)
            environment["DCMON_SECRET_KEYS"] = ",".join(own_key.keys(self.settings))
            environment["DCMON_DATABASE_URL"] = self._start_server("postgres", postgres.start)
            if self.settings.redis_url is None:
                environment["DCMON_REDIS_URL"] = self._start_server("valkey", valkey.start)
        _migrate(environment)
        for name, arguments in _commands(self.settings).items():
            launch = partial(managed_process.start_command, arguments, environment, self._log_file(name))
            managed = ManagedProcess(name, launch)
            managed.start()
            self.dcmon_processes.append(managed)
        self._write_state()
        self._wait_for_endpoint(stop)
        self.is_ready = True
        self._write_state()

    def keep_running(self, stop: threading.Event) -> None:
        """Restart processes that have ended, until `stop` is set."""
        while not stop.wait(WATCH_SECONDS):
            if any(managed.restart_if_ended() for managed in (*self.servers, *self.dcmon_processes)):
                self._write_state()

    def stop(self) -> None:
        """Stop dcmon's processes at the same time, then the servers."""
        processes = [managed.process for managed in self.dcmon_processes if managed.process is not None]
        running = [child for child in processes if child.poll() is None]
        for child in running:
            child.terminate()
        deadline = time.monotonic() + stop_seconds(self.settings)
        for child in running:
            process.stop(child, signal.SIGTERM, max(0.1, deadline - time.monotonic()))
        for server in reversed(self.servers):
            self._stop_server[server.name]()

    def _start_server(self, name: str, start: Callable[[Path, str | None], Server]) -> str:
        """Start an embedded server and return its URL. A restarted server keeps its port and URL."""
        url = ""

        def launch() -> "subprocess.Popen[bytes]":
            nonlocal url
            server = start(self.settings.data_dir, self.settings.run_as)
            self._stop_server[name], url = server.stop, server.url
            return server.process

        managed = ManagedProcess(name, launch)
        managed.start()
        self.servers.append(managed)
        return url

    def _wait_for_endpoint(self, stop: threading.Event) -> None:
        deadline, url = time.monotonic() + READY_SECONDS, supervisor_state.probe_url(self.settings)
        while not stop.is_set() and not supervisor_state.is_endpoint_up(url):
            if time.monotonic() > deadline:
                log_end = self._last_log_line(ProcessKind.SERVE)
                raise errors.DcmonError(f"The endpoint did not answer in {READY_SECONDS:.0f} s. {log_end}")
            for managed in self.dcmon_processes:
                code = managed.process.poll() if managed.process else 0
                if code is not None:
                    log_end = self._last_log_line(managed.name)
                    exit_text = managed_process.describe_exit(code)
                    raise errors.DcmonError(f"{managed.name} ended with {exit_text}. {log_end}")
            stop.wait(0.05)

    def _log_file(self, name: str) -> Path:
        return self.settings.data_dir / "logs" / f"{name}.log"

    def _last_log_line(self, name: str) -> str:
        time.sleep(LOG_DELAY)
        file = self._log_file(name)
        lines = file.read_text(errors="replace").strip().splitlines() if file.exists() else []
        if not lines:
            return f"See {file}."
        return f"Its last message: {log_entries.without_stamp(lines[-1]).removeprefix('dcmon: ')} (see {file})"

    def _write_state(self) -> None:
        children = [managed.describe() for managed in (*self.servers, *self.dcmon_processes)]
        started_at = self.started_at.isoformat()
        state = SupervisorState(
            os.getpid(), self.settings.url, started_at, self.is_ready, children,
            supervisor_state.probe_url(self.settings), comparable(self.settings, started_at),
        )  # fmt: skip
        supervisor_state.write(self.settings.data_dir, state)


def _migrate(environment: Mapping[str, str]) -> None:
    """Run `dcmon migrate`; if it fails, raise its last message as an error.

    An organization that can't be migrated does not keep the others from work: it is logged, and `dcmon status` says it.
    """
    completed = subprocess.run(
        [sys.executable, "-m", "dcmon", "migrate"], env=dict(environment), capture_output=True, text=True, check=False
    )
    if completed.returncode == PARTLY_MIGRATED:
        log.warning("%s", completed.stderr.strip())
    elif completed.returncode:
        message = (completed.stderr.strip().splitlines() or ["The migration failed."])[-1].removeprefix("dcmon: ")
        by_exit_code = {4: errors.DatabaseRefused, 6: errors.Locked, 7: errors.Unreachable}
        raise by_exit_code.get(completed.returncode, errors.DcmonError)(message)


def _commands(settings: Settings) -> dict[str, list[str]]:
    """Return the arguments of dcmon's own processes, by name."""
    workers = [ProcessKind.EVALUATE, ProcessKind.NOTIFY, ProcessKind.SCHEDULER]
    if settings.kafka.bootstrap_servers:
        workers.insert(0, ProcessKind.INGEST)
    return {ProcessKind.SERVE: ["serve"], **{name: ["worker", "start", name] for name in workers}}
