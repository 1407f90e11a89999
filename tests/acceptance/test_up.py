"""Command line of `dcmon up`, `status` and `down`."""

import os
import signal
import socket
import stat
from dataclasses import replace
from pathlib import Path

from sqlalchemy import create_engine, text

from dcmon.embedded import postgres
from tests.helpers.installed import Dcmon, processes_of
from tests.helpers.ports import free_port
from tests.helpers.waiting import eventually


def names(dcmon: Dcmon) -> dict[str, dict[str, object]]:
    shown = dcmon("-o", "json", "status")
    import json

    return {row["name"]: row for row in json.loads(shown.stdout)["parts"]}


def _stored_receiver(data_dir: Path) -> str:
    """Return how the address of the only receiver is stored in the embedded PostgreSQL."""
    url = postgres.url(data_dir)
    assert url is not None
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.connect() as connection:
        schema = connection.scalar(text("select schema_name from organizations"))
        role = connection.scalar(
            text("select pg_get_userbyid(nspowner) from pg_namespace where nspname = :n"), {"n": schema}
        )
        connection.execute(text(f'set role "{role}"'))
        stored = str(connection.scalar(text(f'select url from "{schema}".webhooks')))
    engine.dispose()
    return stored


def test_up_restarts_a_crashed_process_and_down_leaves_no_trace(dcmon: Dcmon, data_dir: Path) -> None:
    """`up` starts everything and restarts crashed processes; `down` leaves nothing running."""
    started = dcmon("up")
    assert started.returncode == 0, started.stderr
    assert eventually(lambda: dcmon("status").returncode == 0)

    elsewhere = replace(dcmon, port=free_port())  # a shell that has only the data directory in its settings
    assert (elsewhere("status").returncode, names(elsewhere)["endpoint"]["state"]) == (0, "answers")

    again = dcmon("up")
    assert again.returncode == 0
    assert "runs already" in again.stderr

    victim = int(str(names(dcmon)["evaluate"]["pid"]))
    os.kill(victim, signal.SIGKILL)
    assert eventually(lambda: names(dcmon)["evaluate"]["restarts"] == 1, every=0.2)
    assert len(names(dcmon)["evaluate"]["crashes"]) == 1
    assert eventually(lambda: dcmon("status").returncode == 0, every=0.2)
    assert "SIGKILL" in str(names(dcmon)["evaluate"]["last_exit"])
    assert "started again" in (data_dir / "logs" / "supervisor.log").read_text()

    assert dcmon("org", "create", "acme").returncode == 0
    assert dcmon("receiver", "create", "team", "https://hooks.example.org/s3cret").returncode == 0
    assert _stored_receiver(data_dir).startswith("dcmon1:")
    key = data_dir / "secret.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert dcmon.json("receiver", "list")[0]["to"].startswith("https://hooks.example.org/")
    key.rename(data_dir / "lost.key")
    assert "key that is missing" in dcmon.json("receiver", "list")[0]["to"]
    (data_dir / "lost.key").rename(key)
    assert dcmon("down").returncode == 0
    assert processes_of(data_dir) == []
    assert dcmon("down").returncode == 0


def test_up_after_a_killed_supervisor_finds_its_data(dcmon: Dcmon, data_dir: Path) -> None:
    """A killed supervisor leaves no process, and the next `up` finds its data."""
    assert dcmon("up").returncode == 0
    assert dcmon("org", "create", "acme").returncode == 0
    supervisor = int(str(names(dcmon)["supervisor"]["pid"]))

    os.kill(supervisor, signal.SIGKILL)

    assert eventually(lambda: processes_of(data_dir) == [], every=0.2)
    assert dcmon("status").returncode == 7
    assert dcmon("up").returncode == 0
    assert [org["name"] for org in dcmon.json("org", "list")] == ["acme"]


def test_purge_asks_and_deletes_only_files_of_dcmon(dcmon: Dcmon, data_dir: Path) -> None:
    (data_dir / "mine.txt").write_text("keep")
    assert dcmon("up").returncode == 0

    refused = dcmon("down", "--purge")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert dcmon.json("down", "--purge", "--dry-run")["bytes"] > 1_000_000
    assert dcmon("down", "--purge", "--yes").returncode == 0

    assert [path.name for path in data_dir.iterdir()] == ["mine.txt"]


def test_up_on_a_used_port_fails_and_leaves_nothing(dcmon: Dcmon, data_dir: Path) -> None:
    with socket.socket() as occupied:
        occupied.bind(("127.0.0.1", dcmon.port))
        occupied.listen()

        done = dcmon("up")

    assert done.returncode == 6
    assert f"Port {dcmon.port}" in done.stderr
    assert processes_of(data_dir) == []


def test_up_in_the_foreground_stops_at_ctrl_c(dcmon: Dcmon, data_dir: Path) -> None:
    running = dcmon.start("up", "--foreground")
    assert eventually(lambda: dcmon("status").returncode == 0, every=0.3)

    running.send_signal(signal.SIGINT)
    running.communicate(timeout=300)

    assert running.returncode == 0
    assert processes_of(data_dir) == []
