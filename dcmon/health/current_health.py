"""Collect a health snapshot, and find the problems in it."""

from typing import NamedTuple

from sqlalchemy import Engine

from dcmon import db
from dcmon.health import checks, collector, problems
from dcmon.health.problem import Problem
from dcmon.health.snapshot import HealthSnapshot
from dcmon.settings import Settings


class CurrentHealth(NamedTuple):
    """A health snapshot with its problems; `new_problems` are those that no stored health check has found."""

    snapshot: HealthSnapshot
    problems: list[Problem]
    new_problems: list[Problem]


def collect(engine: Engine, settings: Settings) -> CurrentHealth:
    """Collect the health now, and find its problems; nothing is stored.

    A problem that an earlier health check found keeps its start. Raises DcmonError if the database can't be reached.
    """
    snapshot = collector.collect(engine, settings)
    with db.public_session(engine) as session:
        known = {problem.key: problem.since for problem in problems.entries(session)}
    current_problems = checks.with_known_start(checks.find_problems(snapshot, settings.health), known)
    new_problems = [problem for problem in current_problems if problem.key not in known]
    return CurrentHealth(snapshot, current_problems, new_problems)
