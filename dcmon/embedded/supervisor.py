"""The process behind `dcmon up`: starts the servers and dcmon's own processes, watches them, starts them again."""

import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any, Protocol
from urllib.error import URLError
from urllib.request import urlopen

from dcmon import errors
from dcmon.embedded import postgres, process, valkey
from dcmon.settings import Settings

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE, STEADY_AFTER = 0.5, 30.0, 30.0  # seconds; a child that ran for the last is forgiven
READY_SECONDS, STOP_SECONDS = 60.0, 15.0
LOG_BYTES, LOG_FILES = 10_000_000, 3


class Server(Protocol):
    """An embedded server."""

    @property
    def url(self) -> str: ...
    @property
    def process(self) -> "subprocess.Popen[bytes]": ...
    def stop(self, patience: float = ...) -> None: ...


@dataclass
class Child:
    """A process that is kept running. `begin` starts it."""

    name: str
    begin: Callable[[], "subprocess.Popen[bytes]"]
    process: "subprocess.Popen[bytes] | None" = None
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    restarts: int = 0
    last_exit: int | None = None
    pause: float = FIRST_PAUSE
    again_at: float = 0.0

    def start(self) -> None:
        """Start the process."""
        self.process, self.since = self.begin(), datetime.now(UTC)

    def watch(self) -> bool:
        """Start it again when it has ended and its pause is over; whether anything changed."""
        if self.process is None:
            if time.monotonic() < self.again_at:
                return False
            self.restarts += 1
            self.start()
            log.warning("%s is started again (restart %d)", self.name, self.restarts)
            return True
        code = self.process.poll()
        if code is None:
            return False
        ran = (datetime.now(UTC) - self.since).total_seconds()
        self.pause = FIRST_PAUSE if ran > STEADY_AFTER else min(LONGEST_PAUSE, self.pause * 2)
        self.process, self.last_exit, self.since = None, code, datetime.now(UTC)
        self.again_at = time.monotonic() + self.pause
        log.warning("%s ended with %s; it is started again in %.1f s", self.name, describe_exit(code), self.pause)
        return True

    def describe(self) -> dict[str, Any]:
        """What `dcmon status` shows of it."""
        return {
            "name": self.name,
            "state": "running" if self.process else "restarting",
            "pid": self.process.pid if self.process else None,
            "since": self.since,
            "restarts": self.restarts,
            "last_exit": None if self.last_exit is None else describe_exit(self.last_exit),
        }


@dataclass(frozen=True)
class State:
    """What runs, as the supervisor last wrote it."""

    pid: int
    url: str
    started_at: str
    is_ready: bool
    children: Sequence[Mapping[str, Any]]


def describe_exit(code: int) -> str:
    """An exit code in words."""
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def read_state(settings: Settings) -> State | None:
    """What runs in this data directory; None when nothing does."""
    held = process.read_json(settings.data_dir / "supervisor.json")
    if held is None or not process.is_alive(int(held["pid"])) or not _is_locked(settings.data_dir):
        return None
    return State(**held)


def start_in_background(settings: Settings, *, die_with_parent: bool, patience: float = READY_SECONDS + 300) -> State:
    """Start a supervisor as a process of its own and wait until the endpoint answers.

    Raises what the supervisor said when it failed; then nothing is left behind.
    """
    running = read_state(settings)
    if running is not None and running.is_ready:
        return running
    _prepare(settings.data_dir)
    said_file = settings.data_dir / "logs" / "supervisor.log"
    mark = said_file.stat().st_size if said_file.exists() else 0
    with said_file.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "dcmon", "-v", "up", "--foreground"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=child_environment(settings),
            start_new_session=True,
            preexec_fn=process.dies_with_parent(signal.SIGTERM) if die_with_parent else None,
        )
    try:
        process.wait_until(lambda: child.poll() is not None or _is_ready(settings), patience)
    except BaseException:
        process.stop(child, signal.SIGTERM, STOP_SECONDS * 2)
        raise
    found = read_state(settings)
    if found is None or not found.is_ready:
        process.stop(child, signal.SIGTERM, STOP_SECONDS * 2)
        raise _failure(child.returncode, said_file, mark)
    return found


def _is_ready(settings: Settings) -> bool:
    found = read_state(settings)
    return found is not None and found.is_ready


def _failure(code: int | None, said_file: Path, mark: int) -> errors.DcmonError:
    """The supervisor's own last sentence, with its exit code."""
    with said_file.open(errors="replace") as file:
        file.seek(mark)
        lines = [line.strip() for line in file if line.startswith("dcmon: ")]
    kinds = {2: errors.InvalidInput, 4: errors.DatabaseRefused, 6: errors.Locked, 7: errors.Unreachable}
    message = lines[-1].removeprefix("dcmon: ") if lines else f"dcmon did not start; see {said_file}."
    return kinds.get(code or 3, errors.DcmonError)(message)


def stop(settings: Settings, timeout: float = 60) -> bool:
    """Stop the supervisor with everything it started; False when none runs. Raises Locked when it does not end."""
    running = read_state(settings)
    if running is None:
        return False
    os.kill(running.pid, signal.SIGTERM)
    if not process.wait_until(lambda: not process.is_alive(running.pid), timeout):
        raise errors.Locked(f"The supervisor (pid {running.pid}) did not stop in {timeout:.0f} s. Try again.")
    return True


def run(settings: Settings, stop: threading.Event | None = None, ready: Callable[[str], None] | None = None) -> None:
    """Start everything and watch it until SIGTERM, SIGINT or `stop`. Raises Locked when another one runs here."""
    stop = stop or threading.Event()
    _prepare(settings.data_dir)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as stack:
        stack.enter_context(_lock(settings.data_dir))
        stack.callback((settings.data_dir / "supervisor.json").unlink, missing_ok=True)
        _require_port(settings)
        keeper = _Keeper(settings)
        stack.callback(keeper.stop)
        keeper.start(stop)
        if ready is not None and not stop.is_set():
            ready(settings.url)
        keeper.watch(stop)


class _Keeper:
    """Keeps the servers and the children running."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.started_at, self.is_ready = settings, datetime.now(UTC), False
        self.servers: list[Child] = []
        self.children: list[Child] = []
        self._stops: dict[str, Callable[[], None]] = {}

    def start(self, stop: threading.Event) -> None:
        """Servers first, then the migration, then dcmon's processes; returns when the endpoint answers."""
        given = child_environment(self.settings)
        if self.settings.database_url is None:
            given["DCMON_DATABASE_URL"] = self._serve("postgres", postgres.start)
            if self.settings.redis_url is None:
                given["DCMON_REDIS_URL"] = self._serve("valkey", valkey.start)
        self._migrate(given)
        for name, arguments in _commands(self.settings).items():
            child = Child(name, lambda name=name, arguments=arguments: self._begin(name, arguments, given))  # type: ignore[misc]
            child.start()
            self.children.append(child)
        self._write()
        self._wait_for_endpoint(stop)
        self.is_ready = True
        self._write()

    def watch(self, stop: threading.Event) -> None:
        while not stop.wait(0.2):
            if any(child.watch() for child in (*self.servers, *self.children)):
                self._write()

    def stop(self) -> None:
        """Children first, all at once, then the servers."""
        running = [child.process for child in self.children if child.process and child.process.poll() is None]
        for each in running:
            each.terminate()
        ends = time.monotonic() + STOP_SECONDS
        for each in running:
            process.stop(each, signal.SIGTERM, max(0.1, ends - time.monotonic()))
        for child in reversed(self.servers):
            self._stops[child.name]()

    def _serve(self, name: str, start: Callable[[Path], Server]) -> str:
        """Start an embedded server; started again it keeps its port, so that its URL stays true."""
        url = ""

        def begin() -> "subprocess.Popen[bytes]":
            nonlocal url
            server = start(self.settings.data_dir)
            self._stops[name], url = server.stop, server.url
            return server.process

        child = Child(name, begin)
        child.start()
        self.servers.append(child)
        return url

    def _migrate(self, given: Mapping[str, str]) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "dcmon", "migrate"], env=dict(given), capture_output=True, text=True, check=False
        )
        if done.returncode:
            said_last = (done.stderr.strip().splitlines() or ["the migration failed"])[-1].removeprefix("dcmon: ")
            kinds = {4: errors.DatabaseRefused, 6: errors.Locked, 7: errors.Unreachable}
            raise kinds.get(done.returncode, errors.DcmonError)(said_last)

    def _begin(self, name: str, arguments: Sequence[str], given: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        started = process.start(
            [sys.executable, "-m", "dcmon", "-v", *arguments], output=subprocess.PIPE, environment=given
        )
        assert started.stdout is not None
        file = self.settings.data_dir / "logs" / f"{name}.log"
        threading.Thread(target=_pump, args=(started.stdout, file), name=f"log of {name}", daemon=True).start()
        return started

    def _wait_for_endpoint(self, stop: threading.Event) -> None:
        ends = time.monotonic() + READY_SECONDS
        while not stop.is_set() and not is_endpoint_up(self.settings):
            if time.monotonic() > ends:
                raise errors.DcmonError(
                    f"The endpoint did not answer in {READY_SECONDS:.0f} s. {self._last_words('serve')}"
                )
            for child in self.children:
                code = child.process.poll() if child.process else 0
                if code is not None:
                    raise errors.DcmonError(
                        f"{child.name} ended with {describe_exit(code)}. {self._last_words(child.name)}"
                    )
            stop.wait(0.05)

    def _last_words(self, name: str) -> str:
        time.sleep(0.2)  # for the pump to write what the child said last
        file = self.settings.data_dir / "logs" / f"{name}.log"
        lines = file.read_text(errors="replace").strip().splitlines() if file.exists() else []
        return f"It said: {lines[-1].removeprefix('dcmon: ')} (see {file})" if lines else f"See {file}."

    def _write(self) -> None:
        children = [child.describe() for child in (*self.servers, *self.children)]
        found = State(os.getpid(), self.settings.url, self.started_at.isoformat(), self.is_ready, children)
        process.write_json(self.settings.data_dir / "supervisor.json", asdict(found))


def is_endpoint_up(settings: Settings) -> bool:
    """Whether the endpoint answers, at the address it is bound to."""
    host = "127.0.0.1" if settings.http.host in ("0.0.0.0", "::") else settings.http.host
    try:
        with urlopen(f"http://{host}:{settings.http.port}/api/v1/health-check", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def child_environment(settings: Settings) -> dict[str, str]:
    """The environment that gives a child process these very settings."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("DCMON_")}
    given["PYTHONUNBUFFERED"] = "1"
    given.update(_flat(settings.model_dump(mode="json"), "DCMON_"))
    for name, secret in (("DATABASE", settings.database_url), ("REDIS", settings.redis_url)):
        if secret is not None:
            given[f"DCMON_{name}_URL"] = secret.get_secret_value()
    if settings.kafka.password is not None:
        given["DCMON_KAFKA__PASSWORD"] = settings.kafka.password.get_secret_value()
    if settings.heartbeat.url is not None:
        given["DCMON_HEARTBEAT__URL"] = settings.heartbeat.url.get_secret_value()
    return given


def _flat(values: Mapping[str, Any], prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{name.upper()}__")
        elif value is not None:
            said_so = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            found.append((f"{prefix}{name.upper()}", said_so))
    return found


def _commands(settings: Settings) -> dict[str, list[str]]:
    workers = ["evaluate", "notify", "scheduler"]
    if settings.kafka.bootstrap_servers:
        workers.insert(0, "ingest")
    return {"serve": ["serve"], **{name: ["worker", "start", name] for name in workers}}


def _pump(source: IO[bytes], file: Path) -> None:
    """Write what a child says into a log that rotates."""
    handler = RotatingFileHandler(file, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(message)s"))
    with source:
        for line in source:
            text = line.decode(errors="replace").rstrip("\n")
            handler.emit(logging.LogRecord(file.stem, logging.INFO, "", 0, "%s", (text,), None))
    handler.close()


def _prepare(data_dir: Path) -> None:
    try:
        (data_dir / "logs").mkdir(parents=True, exist_ok=True)
        probe = data_dir / ".probe"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        if error.errno == 28:
            raise errors.DiskFull(where=data_dir) from error
        why = f"{error.strerror}. Set DCMON_DATA_DIR to a directory that you can write."
        raise errors.DataDirectoryUnusable(path=data_dir, why=why) from error


def _require_port(settings: Settings) -> None:
    try:
        is_free = process.free_port(settings.http.port, settings.http.host) == settings.http.port
    except OSError:
        is_free = False
    if not is_free:
        raise errors.PortTaken(port=settings.http.port, host=settings.http.host)


class _lock:  # noqa: N801
    """An exclusive lock on the data directory, freed by the kernel when its holder dies."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "supervisor.lock"

    def __enter__(self) -> None:
        self.file = self.path.open("w")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.Locked(f"dcmon runs already in {self.path.parent}.") from None

    def __exit__(self, *_: object) -> None:
        self.file.close()


def _is_locked(data_dir: Path) -> bool:
    try:
        with _lock(data_dir):
            return False
    except errors.Locked:
        return True
    except OSError:
        return False
