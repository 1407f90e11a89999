"""The processes of a run that are killed and restarted: servers, workers, PostgreSQL, Valkey, broker."""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from dcmon import errors
from dcmon.embedded import postgres, process, valkey
from tests.helpers.kafka_broker import Apache

STOPS_WITHIN = 180.0  # seconds after SIGTERM, on a busy machine
TRIES = 30  # to start PostgreSQL
RECOVERS_WITHIN = 300.0  # seconds


@dataclass(eq=False)
class Program:
    """A command whose output goes to a file; several programs may share a `kind`."""

    kind: str
    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    child: "subprocess.Popen[bytes] | None" = None

    @property
    def is_running(self) -> bool:
        return self.child is not None and self.child.poll() is None

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return None if self.child is None else self.child.returncode

    def twin(self) -> "Program":
        """Return a second program of the same command, not started."""
        return Program(self.kind, f"{self.name}-twin", self.command, self.environment, self.log)

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.child = process.start(
                self.command, output=output, environment=self.environment, on_parent_death=signal.SIGKILL
            )

    def send(self, number: int) -> None:
        """Send a signal; after SIGKILL wait for the end."""
        assert self.child is not None
        self.child.send_signal(number)
        if number == signal.SIGKILL:
            self.child.wait()

    def end(self) -> None:
        if self.is_running:
            self.send(signal.SIGKILL)


class PostgreSQL:
    """The embedded server with its own data directory and fsync on."""

    kind = name = "postgres"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        """Start the server; retry while processes of the killed one still end."""
        for tried in range(TRIES):
            try:
                self.server = postgres.start(self.folder)
                return
            except errors.DcmonError:
                if tried == TRIES - 1:
                    raise
                time.sleep(0.5)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def is_running(self) -> bool:
        return self.server.process.poll() is None

    def send(self, number: int) -> None:
        """Send a signal to the postmaster and wait for its end."""
        self.server.process.send_signal(number)
        self.server.process.wait()

    def wait(self) -> None:
        """Wait until it accepts connections; it may be recovering from a killed backend."""
        if not process.wait_until(self._answers, RECOVERS_WITHIN, every=0.2):
            raise RuntimeError(f"PostgreSQL does not answer: see {self.server.log}")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.Error:
            return False
        return True

    def backends(self) -> list[tuple[int, bool]]:
        """Return dcmon's backends and whether each writes, writers first; empty if unreachable."""
        try:
            with psycopg.connect(self.url, connect_timeout=2, application_name="process_killer") as connection:
                return connection.execute(
                    "select pid, xact_start is not null and query ~* 'insert|copy|update|commit' from pg_stat_activity"
                    " where application_name like 'dcmon %' order by 2 desc, xact_start"
                ).fetchall()
        except psycopg.Error:
            return []

    def end(self) -> None:
        self.server.stop()


class Valkey(Program):
    """A Valkey without persistence."""

    def __init__(self, folder: Path) -> None:
        self.port = process.free_port()
        command = [str(valkey._binary()), "--port", str(self.port), "--save", "", "--bind", "127.0.0.1"]
        super().__init__("valkey", "valkey", command, {}, folder / "logs" / "valkey.log")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


class Broker:
    """Apache Kafka, with its log on disk."""

    kind = name = "broker"

    def __init__(self, folder: Path) -> None:
        self.apache = Apache(folder)
        self.apache.start()
        self.apache.wait()

    @property
    def is_running(self) -> bool:
        return self.apache.is_running

    def start(self) -> None:
        self.apache.start()

    def send(self, number: int) -> None:
        assert number == signal.SIGKILL
        self.apache.kill()

    def end(self) -> None:
        self.apache.kill()


Killable = Program | PostgreSQL | Broker


def dcmon(kind: str, name: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path) -> Program:
    """Return a program that runs a dcmon command."""
    command = [sys.executable, "-m", "dcmon", *arguments]
    return Program(kind, name, command, environment, folder / "logs" / f"{name}.log")
