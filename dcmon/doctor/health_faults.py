"""The problems of `dcmon status` as findings: the health checks of dcmon.health are run, and not written again."""

from datetime import UTC, datetime

from dcmon import errors
from dcmon.doctor.faults import FAULTS, Fact, Finding
from dcmon.doctor.installation import Installation
from dcmon.embedded import supervisor_state
from dcmon.health import current_health, local_problems, table_locks
from dcmon.health.problem import Problem


def problems(installation: Installation, *, is_connected: bool) -> list[Finding]:
    """Return the problems that the database shows, or if it can't be read those that this machine shows without it.

    Raises DcmonError if the database can't be read though it must.
    """
    settings = installation.known
    if is_connected:
        return [_finding(problem) for problem in current_health.collect(installation.engine, settings).problems]
    error = installation.connection_error
    if error is None:
        return [_finding(problem) for problem in table_locks.find(installation.engine, settings)]
    if not isinstance(error, errors.Unreachable | errors.DatabaseRefused | errors.NothingRuns | errors.DiskFull):
        return []  # the faults of PostgreSQL have it
    local = supervisor_state.read(settings)
    return [_finding(problem) for problem in local_problems.find(settings, local, error)]


def _finding(problem: Problem) -> Finding:
    # A problem that starts just now has no start worth a word.
    since = None if abs((datetime.now(UTC) - problem.since).total_seconds()) < 1 else problem.since
    fact = Fact(problem.sentence, problem.command, problem.organization, since, problem.severity)
    return Finding(FAULTS[problem.code], fact)
