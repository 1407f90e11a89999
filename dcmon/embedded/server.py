"""Common parts of the embedded PostgreSQL and Valkey: process, state file and package."""

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dcmon import errors
from dcmon.embedded import json_file, process


@dataclass(frozen=True)
class Server:
    """A server that runs as a child of this process."""

    url: str
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path
    stop_signal: int
    stop_seconds: float

    def stop(self) -> None:
        """Send the stop signal; kill the server if it does not end within `stop_seconds`."""
        process.stop(self.process, self.stop_signal, self.stop_seconds)


def running_url(state_file: Path, is_running: Callable[[Mapping[str, Any]], bool]) -> str | None:
    """Return the URL in a server's state file; None if the server does not run."""
    state = json_file.read(state_file)
    return str(state["url"]) if state is not None and is_running(state) else None


def package_directory(module: str, package: str) -> Path:
    """Return the directory of an installed package, without importing it. Raises DcmonError if it is missing."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise errors.DcmonError(f"The Python package {package} is missing: install dcmon again.")
    return Path(spec.origin).parent
