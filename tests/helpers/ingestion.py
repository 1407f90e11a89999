"""Helpers for tests of ingestion over Kafka: the worker as a process, a seek, a consumer of a topic."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from sqlalchemy import text

from dcmon.app import App
from dcmon.embedded.environment import child_environment
from dcmon.settings import Kafka
from tests.helpers.kafka_broker import SESSION_SECONDS

# With a time to wait, so that the sessions are over when it returns.
END_SESSIONS = "select pg_terminate_backend(pid, 300000) from pg_stat_activity where datname = %s"
UNREACHABLE = 7  # exit code
WITH_SHORT_SESSION = f"""
from dcmon.__main__ import main
from dcmon.ingestion.kafka import consumer
consumer.SESSION_SECONDS = {SESSION_SECONDS}
main()
"""


def public_scalar(app: App, statement: str) -> object:
    """Execute a statement on the public schema and return a single value."""
    with app.public() as session:
        return session.scalar(text(statement))


@contextmanager
def worker(app: App) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `dcmon worker start ingest` as a process that joins its group as quickly as workers in the test's process."""
    command = [sys.executable, "-c", WITH_SHORT_SESSION, "worker", "start", "ingest"]
    process = subprocess.Popen(command, env=child_environment(app.settings), stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def command(app: App, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command. On a busy machine a broker may answer later than the command waits: it is repeated then."""
    call, environment = [sys.executable, "-m", "dcmon", *arguments], child_environment(app.settings)
    for _ in range(5):
        done = subprocess.run(call, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != UNREACHABLE:
            break
    return done


def seek(app: App, *arguments: str) -> str:
    """Run `dcmon ingest seek` and return its output."""
    done = command(app, "ingest", "seek", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def consumer_of(settings: Kafka, topic: str) -> Consumer:
    """Create a consumer outside of dcmon that reads a topic from its beginning."""
    consumer = Consumer({"bootstrap.servers": settings.bootstrap_servers, "group.id": "reader"})
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(settings.partitions)])
    return consumer
