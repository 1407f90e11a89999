"""Problems that this machine shows without the database: a full disk, stopped processes, a PostgreSQL that hangs."""

from collections.abc import Iterator
from datetime import UTC, datetime

from dcmon import errors
from dcmon.embedded import postgres
from dcmon.embedded.supervisor_state import SupervisorState
from dcmon.health import checks, collector, local_processes
from dcmon.health.problem import Problem, ProblemName
from dcmon.settings import Settings
from dcmon.severity import Severity

SHOW_DATABASE = "dcmon config show DCMON_DATABASE_URL --origin"


def find(settings: Settings, local: SupervisorState | None, error: errors.DcmonError) -> list[Problem]:
    """Return why the database may not be read; `error` is what it said. The most severe problem is first."""
    now = datetime.now(UTC)
    stopped, disk = list(_stopped(local, now)), list(_disk(settings, now))
    hanging = list(_unreachable(settings, error, now)) if isinstance(error, errors.Unreachable) and not stopped else []
    return sorted([*stopped, *disk, *hanging], key=lambda problem: problem.rank)


def _stopped(local: SupervisorState | None, now: datetime) -> Iterator[Problem]:
    for stopped in local_processes.stopped_by_supervisor_state(local) if local is not None else ():
        yield checks.stopped_problem(stopped, now)


def _disk(settings: Settings, now: datetime) -> Iterator[Problem]:
    disk = collector.read_disk(settings.data_dir) if settings.database_url is None else None
    if disk is not None and disk.free_share < settings.health.disk:
        yield checks.disk_problem(disk, now)


def _unreachable(settings: Settings, error: errors.DcmonError, now: datetime) -> Iterator[Problem]:
    """Say since when PostgreSQL does not answer, if its last write on this machine shows it."""
    own = postgres.running(settings.data_dir) if settings.database_url is None else None
    if own is not None:
        sentence = f"PostgreSQL (pid {own.pid}) in {own.directory} runs, and does not answer; it wrote last then."
        command, since = "dcmon logs postgres --limit 20", own.written_at or now
        yield Problem(ProblemName.POSTGRESQL_HANGS, Severity.CRITICAL, sentence, command, since)
    elif "timeout" in str(error):
        sentence = f"PostgreSQL takes connections, and does not answer: {error}"
        yield Problem(ProblemName.POSTGRESQL_HANGS, Severity.CRITICAL, sentence, SHOW_DATABASE, now)
    else:
        yield Problem(ProblemName.POSTGRESQL_UNREACHABLE, Severity.CRITICAL, f"{error}", SHOW_DATABASE, now)
