"""SIGTERM and Ctrl-C end what runs for long with 0, also while it starts."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.ports import free_port
from tests.helpers.waiting import PATIENCE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("command", ["serve", "worker start evaluate"])
def test_process_that_waits_for_postgresql_stops_with_0(command: str, number: signal.Signals, tmp_path: Path) -> None:
    """PostgreSQL takes the connection and says nothing: the process is in the middle of its start."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://dcmon@127.0.0.1:{silent.getsockname()[1]}/dcmon"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DCMON_")}
        environment |= {"DCMON_DATABASE_URL": url, "DCMON_DATA_DIR": str(tmp_path)}
        environment["DCMON_HTTP__PORT"] = str(free_port())
        process = subprocess.Popen([sys.executable, "-m", "dcmon", *command.split()], env=environment)
        silent.settimeout(PATIENCE)
        connection, _ = silent.accept()
        with connection:
            process.send_signal(number)
            assert process.wait(PATIENCE) == 0
