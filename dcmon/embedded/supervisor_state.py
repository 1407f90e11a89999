"""The state of a data directory's supervisor: its state file, its lock, and its endpoint."""

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dcmon import errors
from dcmon.embedded import json_file, process
from dcmon.settings import Settings

STATE_FILE, LOCK_FILE = "supervisor.json", "supervisor.lock"


@dataclass(frozen=True)
class SupervisorState:
    """The processes of a supervisor, as its state file has them.

    `url`: of the endpoint, as users type it. `probe_url`: where its health is asked for on this machine ("": an older
    release did not write it). `is_ready`: the endpoint has answered since the start. `settings`: those of its
    processes (environment.comparable, with `started_at` as the salt); None: an older release did not write them.
    """

    pid: int
    url: str
    started_at: str
    is_ready: bool
    children: Sequence[Mapping[str, Any]]
    probe_url: str = ""
    settings: Mapping[str, str] | None = None


def read(settings: Settings) -> SupervisorState | None:
    """Return the state of the data directory's supervisor; None if no supervisor runs."""
    state = json_file.read(settings.data_dir / STATE_FILE)
    if state is None or not process.is_alive(int(state["pid"])) or not _is_locked(settings.data_dir):
        return None
    return SupervisorState(**state)


def write(data_dir: Path, state: SupervisorState) -> None:
    """Replace the state file."""
    json_file.write(data_dir / STATE_FILE, asdict(state))


def remove(data_dir: Path) -> None:
    """Remove the state file."""
    (data_dir / STATE_FILE).unlink(missing_ok=True)


@contextmanager
def exclusive(data_dir: Path) -> Iterator[None]:
    """Hold the lock of the data directory. Raises Locked if another process holds it.

    The kernel releases the lock when the process ends, also after kill -9.
    """
    with (data_dir / LOCK_FILE).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.Locked(f'dcmon runs already in {data_dir}. "dcmon down" stops it.') from None
        yield


def _is_locked(data_dir: Path) -> bool:
    try:
        with exclusive(data_dir):
            return False
    except errors.Locked:
        return True
    except OSError:
        return False


def probe_url(settings: Settings) -> str:
    """Return where the health of an endpoint with these settings is asked for, on this machine."""
    host = "127.0.0.1" if settings.http.host in ("0.0.0.0", "::") else settings.http.host
    scheme = "https" if settings.http.tls_certificate else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.http.port}/health/live"


def is_endpoint_up(url: str) -> bool:
    """Return True if the endpoint answers at a probe URL."""
    import ssl  # it, and http.client, are seldom needed by "dcmon status"
    from urllib.error import URLError
    from urllib.request import urlopen

    # This asks whether the port answers, and sends no secret: the certificate is for the name that users type.
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
    try:
        with urlopen(url, timeout=2, context=unverified) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
