"""The processes that benchmarks measure: `dcmon` itself, and a broker from a wheel."""

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
    """A broker with its process."""

    address: str
    process: psutil.Process

    def settings(self, settings: Settings) -> Settings:
        """These settings with the broker, topics and a group of their own, one partition each."""
        name = f"bench-{uuid.uuid4().hex[:8]}"
        kafka = Kafka(bootstrap_servers=self.address, topic_prefix=name, group_id=name, partitions=1)
        return settings.model_copy(update={"kafka": kafka})


@contextmanager
def brokers() -> Iterator[Broker]:
    """Tansu, which keeps everything in memory."""
    before = {child.pid for child in psutil.Process().children()}
    with tansu() as address:
        (started,) = (each for each in psutil.Process().children() if each.pid not in before)
        yield Broker(address, started)


@contextmanager
def processes(settings: Settings, *commands: Sequence[str]) -> Iterator[list[psutil.Process]]:
    """`dcmon` with these arguments, each in a process; an endpoint is waited for."""
    with ExitStack() as stack:
        running = [stack.enter_context(_process(settings, command)) for command in commands]
        if any(command[0] == "serve" for command in commands):
            assert wait_until(lambda: _answers(settings), 30)
        yield running


@contextmanager
def _process(settings: Settings, command: Sequence[str]) -> Iterator[psutil.Process]:
    started = subprocess.Popen(
        [sys.executable, "-m", "dcmon", *command], env=child_environment(settings), stderr=subprocess.DEVNULL
    )
    try:
        yield psutil.Process(started.pid)
    finally:
        started.terminate()
        started.wait(30)


def _answers(settings: Settings) -> bool:
    try:
        return bool(urlopen(f"{settings.url}/api/v1/health-check", timeout=1).status == 200)
    except (URLError, OSError):
        return False
