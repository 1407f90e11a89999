"""Faults of the data directory and of other files of this machine."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from dcmon.doctor.faults import Fact, Part, fault
from dcmon.doctor.installation import Installation
from dcmon.embedded import json_file, private_files, process, supervisor_state
from dcmon.formatting import format_bytes, shell_argument
from dcmon.severity import Severity

LARGE_LOG, LARGE_LOGS = 100_000_000, 1_000_000_000  # bytes of a file, of all files
OTHERS = stat.S_IRWXG | stat.S_IRWXO


@fault("data-directory-unwritable", "The data directory can't be written", Part.FILES, Severity.CRITICAL)
def unwritable(installation: Installation) -> Iterator[Fact]:
    """The embedded servers, logs and state are in it; with a database of your own, none need be."""
    settings = installation.known
    if settings.database_url is not None:
        return
    path = settings.data_dir
    existing = next(directory for directory in (path, *path.parents) if directory.exists())
    if not existing.is_dir():
        yield Fact(f"{existing} is a file, and the data directory is {path}.", "export DCMON_DATA_DIR=DIRECTORY")
    elif _is_read_only(existing):
        sentence = f"{existing} is on a file system that is mounted read-only; the data directory is {path}."
        yield Fact(sentence, "export DCMON_DATA_DIR=DIRECTORY")
    elif not os.access(existing, os.W_OK | os.X_OK):
        owner = existing.stat().st_uid
        sentence = f"User {os.geteuid()} can't write to {existing}, of user {owner}; the data directory is {path}."
        yield Fact(sentence, _owning_command(path))


def _owning_command(path: Path) -> str:
    """Return what gives this user the data directory; never a directory above it, which others use, too."""
    command = f"chown -R {os.geteuid()}" if path.exists() else f"install -d -m 700 -o {os.geteuid()}"
    return f"sudo {command} {_quoted(path)}"


def _is_read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


@fault("files-readable-by-others", "Other users may read secrets of dcmon", Part.FILES, Severity.HIGH)
def readable(installation: Installation) -> Iterator[Fact]:
    """State files have passwords and keys; a .env has them, too."""
    data_dir = installation.known.data_dir
    names = [data_dir / name for name in private_files.STATE_FILES]
    for path in [path for path in names if path.is_file() and path.stat().st_mode & OTHERS]:
        yield Fact(f"{path} has mode {_mode(path)}, and a secret in it.", f"chmod 600 {_quoted(path)}")
    if data_dir.is_dir() and data_dir.stat().st_mode & (stat.S_IRGRP | stat.S_IWGRP | stat.S_IRWXO):
        sentence = f"The data directory {data_dir} has mode {_mode(data_dir)}: others may list or change it."
        yield Fact(sentence, f"chmod 700 {_quoted(data_dir)}")
    env_file = Path(".env").absolute()
    if env_file.is_file() and env_file.stat().st_mode & OTHERS and _has_secret(env_file):
        sentence = f"{env_file} has mode {_mode(env_file)}, and a password, key or token in it."
        yield Fact(sentence, f"chmod 600 {_quoted(env_file)}")


def _has_secret(path: Path) -> bool:
    text = path.read_text(errors="replace").upper()
    return any(word in text for word in ("DCMON_DATABASE_URL", "DCMON_SECRET_KEYS", "PASSWORD", "TOKEN", "PING__URL"))


def _mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):03o}"


@fault("logs-large", "The logs take much of the disk", Part.FILES, Severity.LOW)
def large_logs(installation: Installation) -> Iterator[Fact]:
    """dcmon's own logs rotate at 10 MB; that of PostgreSQL only at a start."""
    logs = installation.known.data_dir / "logs"
    sizes = {path: path.stat().st_size for path in logs.iterdir() if path.is_file()} if logs.is_dir() else {}
    largest = max(sizes, key=lambda path: sizes[path], default=None)
    if largest is not None and (sizes[largest] > LARGE_LOG or sum(sizes.values()) > LARGE_LOGS):
        total = format_bytes(sum(sizes.values()))
        sentence = f"{logs} has {total} in {len(sizes)} files; the largest, {largest.name}, has {_size(largest)}."
        yield Fact(sentence, f"truncate --size 0 {_quoted(largest)}")


def _size(path: Path) -> str:
    return format_bytes(path.stat().st_size)


@fault("stale-state-file", "A state file names a supervisor that has ended", Part.FILES, Severity.MEDIUM)
def stale_state(installation: Installation) -> Iterator[Fact]:
    """The supervisor was killed: nothing keeps the processes running."""
    settings = installation.known
    path = settings.data_dir / supervisor_state.STATE_FILE
    state = json_file.read(path) if path.is_file() else None
    if state is not None and supervisor_state.read(settings) is None:
        sentence = f"{path} names the supervisor with pid {state.get('pid')}, which does not run any more."
        yield Fact(sentence, "dcmon up")


@fault("stale-pid-file", "A pid file names a PostgreSQL that has ended", Part.FILES, Severity.MEDIUM)
def stale_pid(installation: Installation) -> Iterator[Fact]:
    """PostgreSQL was killed, or the machine lost its power; the next start removes the file."""
    path = installation.known.data_dir / "postgres" / "postmaster.pid"
    if not path.is_file():
        return
    first_line = path.read_text(errors="replace").partition("\n")[0].strip()
    pid = int(first_line) if first_line.isdigit() else None
    if pid is None or not process.is_alive(pid) or str(path.parent) not in process.command_line(pid):
        yield Fact(f"{path} has pid {first_line or '(none)'}, which is no PostgreSQL of this directory.", "dcmon up")


def _quoted(path: Path) -> str:
    return shell_argument(str(path))
