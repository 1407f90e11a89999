"""Rules that failed to judge a result: isolate, record and list them.

The reason is stored in the column `how` of the result. A rule counts as failing until it judges a later result of the
version, or is changed.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from dcmon.alerting.alert_changes import AlertChanges
from dcmon.alerting.change_context import ChangeContext
from dcmon.db import bulk
from dcmon.db.tables.org import AlertRule, Result
from dcmon.errors import DcmonError

log = logging.getLogger(__name__)

KEY = "rule_failures"
OLD_KEY = "unjudged"  # in results that an earlier version stored: they are read, and not rewritten
MAX_CHARACTERS = 300
NEWEST_RESULTS = 2_000  # how many of the newest results are searched for failures
# The rules that failed on the newest result of a version: id, reason, and time.
FAILING = f"""
    select f.key::int as rule_id, f.value as reason, last.computed_at
      from (select distinct on (monitor_id, version_id) monitor_id, how, computed_at
              from (select id, monitor_id, version_id, how, computed_at
                      from results order by id desc limit {NEWEST_RESULTS}) newest
             order by monitor_id, version_id, id desc) last
      cross join lateral jsonb_each_text(coalesce(cast(last.how as jsonb) -> '{KEY}',
                                                  cast(last.how as jsonb) -> '{OLD_KEY}')) f
      join alert_rules r on r.id = f.key::int and r.is_active
"""
FORGET = text(f"""
    update results
       set how = jsonb_set(
               jsonb_set(cast(how as jsonb), array['{KEY}'],
                         coalesce(cast(how as jsonb) -> '{KEY}', jsonb_build_object()) - cast(:rules as text[]), false),
               array['{OLD_KEY}'],
               coalesce(cast(how as jsonb) -> '{OLD_KEY}', jsonb_build_object()) - cast(:rules as text[]), false)
     where monitor_id = any(:monitors)
       and (jsonb_exists_any(cast(how as jsonb) -> '{KEY}', cast(:rules as text[]))
            or jsonb_exists_any(cast(how as jsonb) -> '{OLD_KEY}', cast(:rules as text[])))
""")


class RuleFailure(NamedTuple):
    """Why a rule failed. `result`: the result that it judged; None if it judged no new result."""

    rule_id: int
    result: Result | None
    error: Exception


class RuleChanges(NamedTuple):
    """The changes of a rule's alerts that are not written yet. `result`: as in RuleFailure."""

    rule: AlertRule
    changes: AlertChanges
    result: Result | None = None


class WrittenChanges(NamedTuple):
    """The number of notifications written, and the rules whose changes could not be written."""

    notifications: int
    failed_rule_ids: Collection[int] = ()


@contextmanager
def isolated(session: Session, rule: AlertRule, result: Result | None = None) -> Iterator[None]:
    """Run one rule in a savepoint, so that its failure does not affect other rules.

    An exception is rolled back, logged and stored with the result. When PostgreSQL or another dependency is
    unavailable, the exception is raised, because the rule itself did not fail.
    """
    rule_id = rule.id
    try:
        with session.begin_nested():
            yield
    except Exception as error:
        if is_outage(error):
            raise
        record(session, [RuleFailure(rule_id, result, error)])


def is_outage(error: Exception) -> bool:
    """Return True if PostgreSQL or another dependency is unavailable, so that no rule is to blame."""
    is_unavailable = isinstance(error, DcmonError) and error.status == 503
    return is_unavailable or isinstance(error, OperationalError | InterfaceError)


def record(session: Session, failures: Sequence[RuleFailure]) -> None:
    """Log failures, and store them with the results, in one statement."""
    changed = dict[int, Result]()
    for rule_id, result, error in failures:
        log.error("rule failed to judge a result: rule %d", rule_id, exc_info=error)
        if result is not None:
            other_entries = {key: value for key, value in result.how.items() if key != OLD_KEY}
            result.how = {**other_entries, KEY: {**of_result(result), str(rule_id): error_line(error)}}
            changed[result.id] = result
    bulk.update(session, list(changed.values()))


def write_isolated(
    session: Session, context: ChangeContext, parts: Sequence[RuleChanges], again: Callable[[RuleChanges], int]
) -> WrittenChanges:
    """Write the changes of several rules together.

    If that fails, `again` judges and writes by each rule alone: then only the rule that can't be written fails. Without
    a savepoint (ChangeContext.has_savepoint) the error is raised.
    """
    changes = AlertChanges()
    for part in parts:
        changes.add(part.changes)
    if not changes:
        return WrittenChanges(0)
    if not context.has_savepoint:
        return WrittenChanges(changes.write(session, context))
    try:
        with session.connection().begin_nested():
            return WrittenChanges(changes.write(session, context))
    except Exception as error:
        if is_outage(error):
            raise
        log.warning("the alerts of %d rules are written one by one: %s", len(parts), error_line(error))
    for alert in [*changes.stored_alerts, *changes.deleted]:
        session.expire(alert)
    written, failed_rule_ids = 0, {part.rule.id for part in parts}
    for part in parts:
        with isolated(session, part.rule, part.result):
            written += again(part)
            failed_rule_ids.remove(part.rule.id)
    return WrittenChanges(written, failed_rule_ids)


def of_result(result: Result) -> Mapping[str, str]:
    """Return why rules failed to judge a result, by rule id."""
    failures: Mapping[str, str] = result.how.get(KEY) or result.how.get(OLD_KEY, {})
    return failures


def error_line(error: Exception) -> str:
    """Return an error as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:MAX_CHARACTERS]


def clear(session: Session, rule: AlertRule) -> None:
    """Remove the recorded failures of a rule that was changed."""
    clear_all(session, [rule])


def clear_all(session: Session, rules: Sequence[AlertRule]) -> None:
    """Remove the recorded failures of these rules."""
    if rules:
        keys = {"rules": [str(rule.id) for rule in rules], "monitors": [rule.monitor_id for rule in rules]}
        session.execute(FORGET, keys)


def failing(session: Session) -> Mapping[int, str]:
    """Return why rules failed to judge the newest results, by rule id."""
    return {row.rule_id: row.reason for row in session.execute(text(FAILING))}
