"""The embedded servers: start, kill and recovery without harm to other processes."""

import os
import signal
import subprocess
from pathlib import Path

import psycopg
import pytest
import redis

from dcmon import errors
from dcmon.embedded import postgres, process, valkey
from tests.helpers.waiting import eventually


def count(url: str) -> int:
    with psycopg.connect(url) as connection:
        count_row = connection.execute("select count(*) from kept").fetchone()
        assert count_row is not None
        return int(count_row[0])


def fill(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("create table kept as select generate_series(1, 1000) as n")


def test_postgres_keeps_data_and_port_after_a_restart(data_dir: Path) -> None:
    """A second start has the same data and the same URL."""
    first = postgres.start(data_dir)
    fill(first.url)
    assert postgres.url(data_dir) == first.url
    first.stop()
    assert postgres.url(data_dir) is None

    second = postgres.start(data_dir)
    try:
        assert second.url == first.url
        assert count(second.url) == 1000
    finally:
        second.stop()


def test_killed_postgres_recovers_at_the_next_start(data_dir: Path) -> None:
    """Committed rows survive kill -9."""
    first = postgres.start(data_dir)
    fill(first.url)
    first.process.kill()
    first.process.wait()

    second = postgres.start(data_dir)
    try:
        assert count(second.url) == 1000
    finally:
        second.stop()


def test_stale_pid_of_another_process_is_ignored(data_dir: Path) -> None:
    """A process that got the pid of a former server is not killed."""
    postgres.start(data_dir).stop()
    innocent = subprocess.Popen(["sleep", "600"])
    (data_dir / "postgres" / "postmaster.pid").write_text(f"{innocent.pid}\n{data_dir / 'postgres'}\n0\n5432\n\n")

    server = postgres.start(data_dir)
    try:
        assert innocent.poll() is None
    finally:
        server.stop()
        innocent.kill()
        innocent.wait()


def test_postgres_requires_its_password(data_dir: Path) -> None:
    """A wrong password is refused, and only the owner can read the right one."""
    server = postgres.start(data_dir)
    try:
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(server.url.replace("dcmon:", "dcmon:x"))
        assert (data_dir / "postgres.json").stat().st_mode & 0o077 == 0
    finally:
        server.stop()


def test_data_of_another_postgres_version_is_refused(data_dir: Path) -> None:
    """A cluster of another version is not touched."""
    postgres.start(data_dir).stop()
    (data_dir / "postgres" / "PG_VERSION").write_text("14\n")

    with pytest.raises(errors.DataDirectoryUnusable, match="created by PostgreSQL 14"):
        postgres.start(data_dir)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_unreachable_data_directory_is_named(data_dir: Path) -> None:
    """The error names the directory that PostgreSQL's user can't enter."""
    inside = data_dir / "private" / "data"
    inside.mkdir(parents=True)
    inside.parent.chmod(0o700)

    with pytest.raises(errors.DataDirectoryUnusable, match=r"can't enter .*/private\. Set DCMON_DATA_DIR"):
        postgres.start(inside)


def test_postgres_ends_with_its_parent(data_dir: Path) -> None:
    """No server runs longer than the process that started it."""
    code = (
        "import sys; from pathlib import Path; from dcmon.embedded import postgres\n"
        "print(postgres.start(Path(sys.argv[1])).process.pid, flush=True); sys.stdin.read()"
    )
    import sys

    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    server = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()

    assert eventually(lambda: not process.is_alive(server))


def test_valkey_requires_its_password_and_stops(data_dir: Path) -> None:
    """A client without the password is refused."""
    server = valkey.start(data_dir)
    assert valkey.url(data_dir) == server.url
    with redis.Redis.from_url(server.url) as client:
        assert client.set("a", "b")
    with redis.Redis(port=server.port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    server.stop()
    assert valkey.url(data_dir) is None


def test_child_that_ignores_its_signal_is_killed() -> None:
    """A child that does not end in time is killed."""
    stubborn = subprocess.Popen(
        ["sh", "-c", "trap '' TERM; echo set; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert stubborn.stdout is not None
    assert stubborn.stdout.readline() == b"set\n"

    process.stop(stubborn, signal.SIGTERM, 0.3)

    stubborn.communicate()
    assert stubborn.returncode == -signal.SIGKILL
