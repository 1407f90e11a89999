"""Rules that could not judge a result: set apart, so that one costs no other rule anything; kept, and shown.

Why is kept with the result, in its `how`. A rule stands so until it judges a later result of the version, or is
changed.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sqlalchemy import text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from dcmon.db.tables.org import AlertRule, Result
from dcmon.errors import DcmonError

log = logging.getLogger(__name__)

KEY = "unjudged"
LONGEST = 300
LOOKED_AT = 2_000  # results: the newest
# The rules whose last word on a version is that they failed: id, why, and when.
FAILING = f"""
    select f.key::int as rule_id, f.value as why, last.computed_at
      from (select distinct on (monitor_id, version_id) monitor_id, how, computed_at
              from (select id, monitor_id, version_id, how, computed_at
                      from results order by id desc limit {LOOKED_AT}) newest
             order by monitor_id, version_id, id desc) last
      cross join lateral jsonb_each_text(cast(last.how as jsonb) -> '{KEY}') f
      join alert_rules r on r.id = f.key::int and r.is_active
"""
FORGET = text("""
    update results set how = cast(how as jsonb) #- cast(:path as text[])
     where monitor_id = :monitor and cast(how as jsonb) #> cast(:path as text[]) is not null
""")


@contextmanager
def isolated(session: Session, rule: AlertRule, result: Result | None = None) -> Iterator[None]:
    """Judge by one rule in a savepoint: what fails is taken back, logged and kept with the result; all else goes on.

    A dependency that is away is no failure of the rule: it is raised.
    """
    rule_id = rule.id
    try:
        with session.begin_nested():
            yield
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        if isinstance(error, DcmonError) and error.status == 503:
            raise
        log.exception("rule %d could not judge", rule_id)
        if result is not None:
            before = result.how.get(KEY, {})
            result.how = {**result.how, KEY: {**before, str(rule_id): error_line(error)}}
            session.flush()


def error_line(error: Exception) -> str:
    """An error on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:LONGEST]


def clear(session: Session, rule: AlertRule) -> None:
    """A rule that is changed, and judges, is not what it was."""
    session.execute(FORGET, {"monitor": rule.monitor_id, "path": [KEY, str(rule.id)]})


def failing(session: Session) -> Mapping[int, str]:
    """Why rules could not judge the newest results, by the rule's id."""
    return {row.rule_id: row.why for row in session.execute(text(FAILING))}
