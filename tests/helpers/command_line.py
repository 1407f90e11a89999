"""Run dcmon commands in forked processes, because loading dcmon takes a second of CPU time.

Acceptance tests start the installed `dcmon` instead.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from tests.helpers.installed import Dcmon


def dcmon(
    *arguments: str, data_dir: Path, url: str | None = None, **settings: str
) -> "subprocess.CompletedProcess[str]":
    """Run `dcmon` with these arguments and settings only; return its exit code and output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DCMON_")}
    environment |= {"DCMON_DATA_DIR": str(data_dir), **({"DCMON_DATABASE_URL": url} if url else {}), **settings}
    return _server().run(list(arguments), environment, str(Path.cwd()))


class LoadedDcmon(Dcmon):
    """dcmon whose commands are forked; those that run in the background are started as installed."""

    def __call__(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return _server().run(list(arguments), self.environment, "/")

    def on_terminal(self, *arguments: str) -> str:
        """Run a command on a terminal and return what it wrote there, results and remarks."""
        return _server().show(list(arguments), self.environment | {"TERM": "xterm-256color"})


class _Server:
    """The process that forks a child for each command; it runs one command at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.command_server"], cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        atexit.register(self._process.communicate)  # closes its input, and the process ends

    def run(self, arguments: list[str], environment: dict[str, str], cwd: str) -> "subprocess.CompletedProcess[str]":
        with tempfile.TemporaryDirectory() as directory, self._lock:
            files = [Path(directory, name) for name in ("stdout", "stderr")]
            exit_code = self._run({"arguments": arguments, "environment": environment, "cwd": cwd}, files)
            return subprocess.CompletedProcess(arguments, exit_code, *(path.read_text() for path in files))

    def show(self, arguments: list[str], environment: dict[str, str]) -> str:
        """Run a command on a terminal of its own and return what the terminal got."""
        shown, (ours, terminal) = bytearray(), os.openpty()
        name = Path(os.ttyname(terminal))

        def read() -> None:
            with suppress(OSError):  # the end: no process has the terminal open
                while chunk := os.read(ours, 65536):
                    shown.extend(chunk)

        reader = threading.Thread(target=read)
        with self._lock:
            reader.start()
            self._run({"arguments": arguments, "environment": environment, "cwd": "/"}, [name, name])
        os.close(terminal)
        reader.join()
        os.close(ours)
        return shown.decode()

    def _run(self, request: dict[str, Any], output: list[Path]) -> int:
        """Run a command whose output goes to two files; return its exit code."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({**request, "output": [*map(str, output)]}) + "\n")
        stdin.flush()
        return int(stdout.readline())


@cache
def _server() -> _Server:
    return _Server()
