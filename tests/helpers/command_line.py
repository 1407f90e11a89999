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
from functools import cache
from pathlib import Path

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
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with tempfile.TemporaryDirectory() as directory, self._lock:
            files = [Path(directory, name) for name in ("stdout", "stderr")]
            request = {
                "arguments": arguments, "environment": environment, "cwd": cwd, "output": [*map(str, files)]
            }  # fmt: skip
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
            exit_code = int(stdout.readline())
            return subprocess.CompletedProcess(arguments, exit_code, *(path.read_text() for path in files))


@cache
def _server() -> _Server:
    return _Server()
