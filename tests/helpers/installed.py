"""The installed `dcmon` in subprocesses, with a data directory and settings of its own."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.helpers.waiting import PATIENCE

COMMAND = os.environ.get("DCMON_TEST_COMMAND") or str(Path(sys.executable).parent / "dcmon")


@dataclass(frozen=True)
class Dcmon:
    """The command line with its own environment."""

    data_dir: Path
    port: int
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DCMON_")}
        own = {"DCMON_DATA_DIR": str(self.data_dir), "DCMON_HTTP__PORT": str(self.port), "COLUMNS": "200",
               "DCMON_EVALUATE__BACKFILL_QUIET": "0", "DCMON_EVALUATE__LAST_WINDOW_QUIET": "3600"}  # fmt: skip
        return inherited | own | self.settings

    def __call__(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [COMMAND, *arguments], env=self.environment, cwd="/", stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip

    def json(self, *arguments: str) -> Any:
        done = self("-o", "json", *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def type(self, typed: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command whose questions are answered on a terminal; `typed` has a line feed after each answer."""
        ours, terminal = os.openpty()
        try:
            os.write(ours, typed.encode())
            return subprocess.run(
                [COMMAND, *arguments], env=self.environment, cwd="/", stdin=terminal, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
        finally:
            os.close(ours)
            os.close(terminal)

    def start(
        self, *arguments: str, is_group: bool = False, output: IO[str] | int = subprocess.PIPE
    ) -> "subprocess.Popen[str]":
        """Start a command in the background; `is_group` gives it its own process group.

        A command that prints much needs a file as `output`: it stops when a pipe is full that the test does not read.
        """
        return subprocess.Popen(
            [COMMAND, *arguments], env=self.environment, cwd="/", stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, text=True, preexec_fn=restore_ctrl_c,
            process_group=0 if is_group else None,
        )  # fmt: skip


def restore_ctrl_c() -> None:
    """Let Ctrl-C work as in a terminal.

    A shell script ignores SIGINT for its background jobs, and their children inherit this.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def processes_of(data_dir: Path) -> list[str]:
    """Return the command lines of processes that use a data directory."""
    collected = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            process_data = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if str(data_dir).encode() in process_data:
            collected.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return [command_line for command_line in collected if command_line]
