"""Sessions that have locked a table which all organizations share: nothing of dcmon can be read then."""

from collections.abc import Iterator

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from dcmon import errors
from dcmon.health import current_health
from dcmon.health.problem import Problem, ProblemName
from dcmon.settings import Settings
from dcmon.severity import Severity

SECONDS = 3.0  # a migration holds such a lock for less

HOLDERS = text("""
    select a.pid, a.application_name as application, a.state, a.xact_start as since, min(c.relname) as name
      from pg_locks l join pg_stat_activity a on a.pid = l.pid join pg_class c on c.oid = l.relation
     where l.granted and l.mode = 'AccessExclusiveLock' and a.datname = current_database()
       and c.relnamespace = cast('public' as regnamespace) and c.relkind in ('r', 'p') and a.pid <> pg_backend_pid()
       and a.xact_start < clock_timestamp() - make_interval(secs => :seconds)
     group by 1, 2, 3, 4 order by 4
""")


def find(engine: Engine, settings: Settings) -> list[Problem]:
    """Return who holds such a lock, the oldest first. It reads none of dcmon's tables, and never raises."""
    try:
        return [current_health.runnable(problem, settings) for problem in _problems(engine)]
    except (DBAPIError, errors.DcmonError):
        return []


def _problems(engine: Engine) -> Iterator[Problem]:
    with engine.connect() as connection:
        for row in connection.execute(HOLDERS, {"seconds": SECONDS}):
            session = f"Session {row.pid} ({row.application or 'unknown'}, {row.state})"
            sentence = f"{session} has locked table public.{row.name}: all that reads it waits."
            command = f"psql -c 'select pg_terminate_backend({row.pid})'"
            yield Problem(ProblemName.TABLE_LOCKED, Severity.CRITICAL, sentence, command, row.since)
