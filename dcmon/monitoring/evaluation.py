"""Evaluating a window of a version: plan, read once for all monitors on it, run the checks, store and judge.

`dcmon worker start evaluate` and `dcmon monitor run` call the same functions: monitoring.planner says what is
evaluated,
monitoring.row_loader reads the rows, dcmon.checks.worker_pool run the checks, and what they answer is stored here.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from dcmon.alerting import baselines, judging, notify_policy, rule_failures
from dcmon.alerting.change_context import RECENT, ChangeContext
from dcmon.checks.catalogue import library_version
from dcmon.checks.dataset_schema import Value
from dcmon.checks.workload import Answer
from dcmon.db import Organization
from dcmon.db.tables.org import Result
from dcmon.monitoring import results
from dcmon.monitoring.planner import Plan
from dcmon.states import ResultState


def error_results(plan: Plan, reason: str) -> list[Answer]:
    """An ERROR for each monitor of a plan: the window can't be evaluated."""
    return [Answer(monitor.id, Value(ResultState.ERROR, reason=reason)) for monitor, _ in plan.monitors]


def store(
    session: Session,
    org: Organization,
    plan: Plan,
    answers: Sequence[Answer],
    public_url: str | None,
    recent: timedelta | None = RECENT,
    only: int | None = None,
) -> Mapping[str, int]:
    """Store what was found, judge the rules, move alerts, write notifications: in the session's transaction.

    Also notify about alerts that an earlier `monitor run` without --notify left unannounced.
    `recent`: see alerting.notify_policy.ChangeContext; `only`: of this monitor, not of all on the version.
    """
    changed = _put_baselines(session, plan, answers)
    found = _put_results(session, plan, answers)
    context = ChangeContext(org, public_url, recent)
    notified = sum(judging.judge_result(session, org, result, public_url, recent=recent) for result in found)
    for rule in (rule for monitor_id in changed for rule in baselines.dependent_rules(session, monitor_id)):
        with rule_failures.isolated(session, rule):
            notified += judging.rejudge_rule(session, rule, context)
    notified += notify_policy.notify_pending(session, context, plan.version.id, only=only)
    return {"results": len(found), "notifications": notified}


def _put_baselines(session: Session, plan: Plan, answers: Sequence[Answer]) -> list[int]:
    """Store what checks give on the reference; the ids of the monitors for which that is news."""
    monitors = {monitor.id: monitor for monitor, _ in plan.monitors}
    return [
        answer.monitor_id
        for answer in answers
        if answer.is_baseline
        and baselines.store(session, monitors[answer.monitor_id], plan.version, answer.value, answer.n)
    ]


def _put_results(session: Session, plan: Plan, answers: Sequence[Answer]) -> list[Result]:
    """Store what checks give on the window, in order of monitor; the results that are new."""
    monitors = {monitor.id: (monitor, check) for monitor, check in plan.monitors}
    found, version_id = list[Result | None](), plan.version.id
    ours = sorted((each for each in answers if not each.is_baseline), key=lambda answer: answer.monitor_id)
    before = results.lock_newest(session, version_id, plan.window, [answer.monitor_id for answer in ours])
    for answer in ours:
        monitor, check = monitors[answer.monitor_id]
        earlier = plan.earlier.get(monitor.id)
        compared = (earlier.window, earlier.there, earlier.there.n_used(check.needs_labels)) if earlier else None
        found.append(
            results.store(
                session, monitor, version_id, plan.window, answer.value, plan.seen_by(check), answer.n,
                plan.version.reference_revision, answer.duration, _how(plan, answer), compared,
                last=before.get(monitor.id),
            )
        )  # fmt: skip
    session.flush()
    return [result for result in found if result is not None]


def _how(plan: Plan, answer: Answer) -> dict[str, Any]:
    """How a value came about, beside what the result's own columns say."""
    is_sample = answer.limit is not None and answer.n >= answer.limit and answer.n < plan.there.n
    return {
        "rows": "sample" if is_sample else "all",
        "limit": answer.limit,
        "deepchecks": library_version(),
    }
