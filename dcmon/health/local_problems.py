"""Problems that this machine shows without the database: a full disk, stopped processes, a PostgreSQL that hangs."""

import socket
from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy.engine import make_url

from dcmon import errors
from dcmon.embedded import postgres
from dcmon.embedded.supervisor_state import SupervisorState
from dcmon.health import checks, collector, local_processes, process_checks
from dcmon.health.problem import Problem, ProblemName
from dcmon.settings import Settings
from dcmon.severity import Severity

CONNECT_SECONDS = 2
SHOW_DATABASE = "dcmon config show DCMON_DATABASE_URL --origin"


def find(settings: Settings, local: SupervisorState | None, error: errors.DcmonError) -> list[Problem]:
    """Return why the database may not be read; `error` is what it said. The most severe problem is first."""
    now = datetime.now(UTC)
    known = [*_stopped(local, now), *_disk(settings, now)]
    if isinstance(error, errors.DatabaseRefused):
        known.append(Problem(ProblemName.POSTGRESQL_REFUSES, Severity.CRITICAL, str(error), SHOW_DATABASE, now))
    # These are reasons for which PostgreSQL does not answer.
    unknown = isinstance(error, errors.Unreachable) and not known
    return sorted([*known, *(_unreachable(settings, error, now) if unknown else ())], key=lambda problem: problem.rank)


def _stopped(local: SupervisorState | None, now: datetime) -> Iterator[Problem]:
    for stopped in local_processes.stopped_by_supervisor_state(local) if local is not None else ():
        yield process_checks.stopped_problem(stopped, now)


def _disk(settings: Settings, now: datetime) -> Iterator[Problem]:
    disk = collector.read_own_disk(settings)
    if disk is not None and disk.free_share < settings.health.disk:
        yield checks.disk_problem(disk, now)


def _unreachable(settings: Settings, error: errors.DcmonError, now: datetime) -> Iterator[Problem]:
    """Say since when PostgreSQL does not answer, if its last write on this machine shows it.

    While dcmon runs, PostgreSQL writes every few seconds.
    """
    own = postgres.running(settings.data_dir) if settings.database_url is None else None
    is_hanging = "timeout" in str(error) and (own is not None or _takes_connections(settings))
    name = ProblemName.POSTGRESQL_HANGS if is_hanging else ProblemName.POSTGRESQL_UNREACHABLE
    if own is None:
        sentence = (
            f"PostgreSQL takes connections, and does not answer: {error}"
            if is_hanging
            else f"{str(error).rstrip('.')}."
        )
        yield Problem(name, Severity.CRITICAL, sentence, SHOW_DATABASE, now)
        return
    fact = "does not answer" if is_hanging else f"takes no connection ({error})"
    written = f" Its last write was at {own.written_at:%H:%M:%S} UTC." if own.written_at else ""
    sentence = f"PostgreSQL (pid {own.pid}) in {own.directory} runs, and {fact}.{written}"
    yield Problem(name, Severity.CRITICAL, sentence, "dcmon logs postgres --limit 20", own.written_at or now)


def _takes_connections(settings: Settings) -> bool:
    """Return False if no connection by TCP can be opened: nothing listens there, or a firewall drops what is sent.

    A timeout alone does not tell this from a server that takes the connection and says nothing.
    """
    if settings.database_url is None:
        return True
    url = make_url(settings.database_url.get_secret_value())
    host = str(url.query.get("hostaddr") or url.query.get("host") or url.host or "/")
    if host.startswith("/"):  # the directory of a Unix socket: no network is between
        return True
    try:
        socket.create_connection((host, url.port or 5432), CONNECT_SECONDS).close()
    except (OSError, UnicodeError):  # the latter: no name of a host
        return False
    return True
