"""Collect a health snapshot, and find the problems in it."""

from dataclasses import replace
from typing import NamedTuple

from sqlalchemy import Engine

from dcmon import db
from dcmon.embedded import postgres
from dcmon.formatting import shell_argument
from dcmon.health import checks, collector, problems
from dcmon.health.organization_healths import QUICK_LOOK, Look
from dcmon.health.problem import Problem
from dcmon.health.snapshot import HealthSnapshot
from dcmon.settings import Settings, origins

DATABASE_URL = "DCMON_DATABASE_URL"


class CurrentHealth(NamedTuple):
    """A health snapshot with its problems; `new_problems` are those that no stored health check has found."""

    snapshot: HealthSnapshot
    problems: list[Problem]
    new_problems: list[Problem]


def collect(engine: Engine, settings: Settings, look: Look = QUICK_LOOK, *, only: str | None = None) -> CurrentHealth:
    """Collect the health now, and find its problems; these are not stored.

    A problem that an earlier health check found keeps its start. `look`: how thoroughly many organizations are read;
    `only`: the name of one. Raises OrganizationNotFound, and another DcmonError if the database can't be reached.
    """
    snapshot = collector.collect(engine, settings, look, only=only)
    with db.public_session(engine) as session:
        known = {problem.key: problem.since for problem in problems.entries(session)}
    listed = checks.find_problems(snapshot, settings.health)
    current_problems = [runnable(problem, settings) for problem in checks.with_known_start(listed, known)]
    new_problems = [problem for problem in current_problems if problem.key not in known]
    return CurrentHealth(snapshot, current_problems, new_problems)


def runnable(problem: Problem, settings: Settings) -> Problem:
    """Return the problem with a command that reaches dcmon's database, if it is one of PostgreSQL's tools."""
    for tool, option in (("psql", ""), ("vacuumdb", "--dbname=")):
        if problem.command.startswith(f"{tool} "):
            following = problem.command.removeprefix(tool)
            return replace(problem, command=f"{tool} {option}{database_argument(settings)}{following}")
    return problem


def database_argument(settings: Settings) -> str:
    """Return a shell's expression for the URL of the database, without its password."""
    if settings.database_url is None:
        state = shell_argument(str(settings.data_dir / postgres.STATE_FILE))
        return f'"$(sed -n \'s/.*"url": *"\\([^"]*\\).*/\\1/p\' {state})"'
    origin = origins().get(DATABASE_URL, "")
    return f'"${DATABASE_URL}"' if "/" not in origin else f"\"$(sed -n 's/^{DATABASE_URL}=//p' {origin})\""
