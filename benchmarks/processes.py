"""Start the processes that benchmarks measure: `dcmon` commands and a Kafka broker."""

import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from urllib.error import URLError
from urllib.request import urlopen

import psutil

from dcmon.embedded.environment import child_environment
from dcmon.embedded.process import wait_until
from dcmon.settings import Kafka, Settings
from tests.helpers.kafka_broker import tansu


@dataclass(frozen=True)
class Broker:
    """A Kafka broker: its address and its process."""

    address: str
    process: psutil.Process

    def settings(self, settings: Settings) -> Settings:
        """Return `settings` with this broker, new topics with one partition, and a new consumer group."""
        name = f"bench-{uuid.uuid4().hex[:8]}"
        kafka = Kafka(bootstrap_servers=self.address, topic_prefix=name, group_id=name, partitions=1)
        return settings.model_copy(update={"kafka": kafka})


@contextmanager
def running_broker() -> Iterator[Broker]:
    """Run Tansu, a broker that keeps its messages in memory."""
    earlier = {child.pid for child in psutil.Process().children()}
    with tansu() as address:
        (process,) = (child for child in psutil.Process().children() if child.pid not in earlier)
        yield Broker(address, process)


@contextmanager
def running_processes(settings: Settings, *commands: Sequence[str]) -> Iterator[list[psutil.Process]]:
    """Run each `dcmon` command in a process of its own.

    If `serve` is one of the commands, wait until the endpoint answers.
    """
    with ExitStack() as stack:
        processes = [stack.enter_context(_running_process(settings, command)) for command in commands]
        if any(command[0] == "serve" for command in commands):
            assert wait_until(lambda: _is_endpoint_up(settings), 30)
        yield processes


@contextmanager
def _running_process(settings: Settings, command: Sequence[str]) -> Iterator[psutil.Process]:
    process = subprocess.Popen(
        [sys.executable, "-m", "dcmon", *command], env=child_environment(settings), stderr=subprocess.DEVNULL
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _is_endpoint_up(settings: Settings) -> bool:
    try:
        return bool(urlopen(f"{settings.url}/api/v1/health-check", timeout=1).status == 200)
    except (URLError, OSError):
        return False
