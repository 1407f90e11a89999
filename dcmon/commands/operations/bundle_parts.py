"""The parts of a debug bundle that do not come from PostgreSQL: versions, settings, status, doctor, logs, Kafka."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, SecretStr

from dcmon import data_formats
from dcmon.commands.operations import bundle_database, redaction
from dcmon.embedded import environment, json_file, log_files, own_key, postgres, supervisor_state, valkey
from dcmon.errors import DcmonError

if TYPE_CHECKING:
    from dcmon.app import App

LOG_BYTES = 500_000  # of each log, the newest
DOCTOR_SECONDS = 60
LAG_MESSAGES = 100  # that are read of each partition


_RESTART = (
    r"process (?:ended: \w+ with (?:exit code \d+|signal \w+), restart in [\d.]+ s|started again: \w+, restart \d+)"
)
# Valkey never gets a stored secret. Of other logs these lines have none in any case: PostgreSQL quotes values
# and statements only in errors and in what belongs to them, and the supervisor what its children wrote.
HARMLESS_LINES: dict[str, re.Pattern[str]] = {
    log_files.POSTGRES: re.compile(
        r"[\d-]+ [\d:.]+ \S+ \[\d+\] (?:FATAL|PANIC|LOG): +(?!.*(?:statement|duration|execute|parse|bind|prepare)).*"
    ),
    log_files.SUPERVISOR: re.compile(
        rf'(?:\d\S+ )?(?:\{{"time": ?"[^"]*", ?"level": ?"\w+", ?"logger": ?"[\w.]+", ?"message": ?"{_RESTART}"\}}'
        rf"|[\d:]+ [A-Z]+ {_RESTART})"
    ),
}


class NotHere(Exception):
    """There is nothing to collect: the message says why."""


@dataclass(frozen=True)
class Part:
    """A file of the bundle. `collect` returns a text, or data for JSON; it raises NotHere or any error.

    `may_have_stored_secrets`: its texts are messages, errors or statements, which may quote what the database stores.
    `harmless`: its lines that can't; None: any may.
    """

    name: str
    collect: Callable[["App"], Any]
    may_have_stored_secrets: bool = False
    harmless: re.Pattern[str] | None = None


def all_parts(app: "App") -> list[Part]:
    """Return the parts of the bundle of this machine."""
    return [
        Part("about.json", lambda _: about()),
        Part("packages.json", lambda _: packages()),
        Part("settings.json", settings),
        Part("machine.json", machine),
        Part("status.json", status, True),
        Part("doctor.json", lambda app: command_output(app, "doctor"), True),
        Part("postgres.json", bundle_database.server),
        Part("sessions.json", bundle_database.sessions_and_locks, True),
        Part("tables.json", bundle_database.tables),
        Part("revisions.json", bundle_database.revisions),
        Part("problems.json", bundle_database.problems, True),
        Part("receivers.json", bundle_database.receivers, True),
        Part("kafka.json", kafka),
        *(_log(part) for part in _parts_with_logs(app)),
    ]


def about() -> dict[str, Any]:
    """Return versions of dcmon, Python and the system."""
    return {
        "dcmon": metadata.version("dcmon"),
        "python": sys.version,
        "executable": sys.executable,
        "platform": platform.platform(),
        "at": datetime.now(UTC),
        "cpus": os.cpu_count(),
    }


def packages() -> dict[str, Any]:
    """Return the versions of all installed packages, and the requirements of dcmon that they do not meet."""
    installed = {distribution.name: distribution.version for distribution in metadata.distributions()}
    return {"installed": dict(sorted(installed.items())), "unmet": list(_unmet_requirements())}


def _unmet_requirements() -> Iterator[str]:
    if find_spec("packaging") is None:
        return
    from packaging.requirements import Requirement

    for line in metadata.requires("dcmon") or ():
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield f"{requirement}: not installed"
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement}: {version} is installed"


def settings(app: "App") -> list[dict[str, Any]]:
    """Return the settings with their origins; secrets are masked."""
    from dcmon.commands.views import config

    return config.show(app, None).rows


def machine(app: "App") -> dict[str, Any]:
    """Return disk space, and what `dcmon up` runs here."""
    local, data_dir = supervisor_state.read(app.settings), app.settings.data_dir
    existing = next((path for path in (data_dir, *data_dir.parents) if path.exists()), data_dir)
    usage = shutil.disk_usage(existing)
    load = os.getloadavg() if hasattr(os, "getloadavg") else None
    return {
        "data_dir": data_dir, "exists": data_dir.exists(), "disk": usage._asdict(), "load": load,
        "user": os.geteuid() if hasattr(os, "geteuid") else None,
        "supervisor": None if local is None else asdict(local),
    }  # fmt: skip


def status(app: "App") -> Any:
    """Return what `dcmon status` shows."""
    from dcmon.commands.operations import status as operation
    from dcmon.commands.views import status as view

    current = operation.collect(app)
    page = view.report(current, quiet=False)
    return {"status": page.data, "failure": None if current.failure is None else str(current.failure)}


def command_output(app: "App", name: str) -> str:
    """Return what another command prints as JSON, with its exit code. Raises NotHere if this dcmon does not have it."""
    if find_spec(f"dcmon.commands.{name}") is None:
        raise NotHere(f"this version has no dcmon {name}")
    done = subprocess.run(
        [sys.executable, "-m", "dcmon", "-o", "json", name],
        env=environment.child_environment(app.settings), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=DOCTOR_SECONDS, check=False,
    )  # fmt: skip
    return done.stdout or data_formats.serialize(
        {"exit_code": done.returncode, "stderr": done.stderr[-10_000:]}, data_formats.Format.json
    )


def kafka(app: "App") -> dict[str, Any]:
    """Return the topics with their lag. Raises NotHere without Kafka, or Unreachable."""
    if not app.settings.kafka.bootstrap_servers:
        raise NotHere("DCMON_KAFKA__BOOTSTRAP_SERVERS is not set")
    from dcmon.ingestion import lag

    partitions, organizations = lag.measure(app.engine, app.settings.kafka, LAG_MESSAGES)
    return {
        "partitions": [{**vars(partition), "lag": partition.lag} for partition in partitions],
        "organizations": [vars(org) for org in organizations],
    }


def _parts_with_logs(app: "App") -> list[str]:
    with suppress(OSError):
        return log_files.existing_parts(app.settings.data_dir)
    return []


def _log(part: str) -> Part:
    return Part(
        f"logs/{part}.log", lambda app: newest_lines(app, part), part != log_files.VALKEY, HARMLESS_LINES.get(part)
    )


def newest_lines(app: "App", part: str) -> str:
    """Return the newest lines of a log, LOG_BYTES at most."""
    with ExitStack() as stack:
        log = log_files.open_log(app.settings.data_dir, part, stack)
        if log is None:
            raise NotHere("there is no log")
        lines, size = deque[str](), 0
        for line in log.newest_lines():
            size += len(line) + 1
            if size > LOG_BYTES:
                break
            lines.appendleft(line)
    return "\n".join(lines)


def known_secrets(app: "App") -> Iterator[str]:
    """Yield the secrets of the settings and of the data directory."""
    yield from _secrets_of(app.settings)
    with suppress(DcmonError):
        yield from own_key.keys(app.settings)
    for name in (postgres.STATE_FILE, valkey.STATE_FILE):
        state = json_file.read(app.settings.data_dir / name) or {}
        yield from redaction.of_url(str(state.get("url", "")))
        yield str(state.get("password", ""))


def _secrets_of(values: BaseModel) -> Iterator[str]:
    for name in type(values).model_fields:
        value = getattr(values, name)
        if isinstance(value, BaseModel):
            yield from _secrets_of(value)
        elif isinstance(value, SecretStr):
            secret = value.get_secret_value()
            is_url = "://" in secret
            yield from redaction.of_url(secret) if is_url else (word.strip() for word in (secret, *secret.split(",")))
            if is_url:
                yield secret
        elif isinstance(value, str) and "://" in value:
            yield from redaction.of_url(value)
