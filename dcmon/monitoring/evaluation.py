"""Store what the checks of a planned window returned: baselines, results, alerts and notifications.

`dcmon worker start evaluate` and `dcmon monitor run` evaluate a window with the same steps: monitoring.planner decides
which monitors are evaluated, monitoring.row_loader reads their rows, dcmon.checks.worker_pool runs the checks, and this
module stores what they return.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from dcmon.alerting import baselines, judging, notify_policy, rule_failures
from dcmon.alerting.change_context import ChangeContext
from dcmon.checks.catalogue import library_version
from dcmon.checks.dataset_schema import CheckValue
from dcmon.checks.workload import CheckResult
from dcmon.db.tables.org import Check, Monitor, Result
from dcmon.monitoring import results
from dcmon.monitoring.planner import Plan
from dcmon.monitoring.results import CheckRun, ComparedRows, ResultInputs, ResultKey
from dcmon.states import ResultState


class StoredCounts(NamedTuple):
    """How many results and notifications were stored."""

    results: int
    notifications: int


def error_results(plan: Plan, reason: str) -> list[CheckResult]:
    """Return an ERROR for each monitor of a plan whose window can't be evaluated."""
    return [CheckResult(monitor.id, CheckValue(ResultState.ERROR, reason=reason)) for monitor, _ in plan.monitors]


def store(
    session: Session, plan: Plan, answers: Sequence[CheckResult], context: ChangeContext, monitor_id: int | None = None
) -> StoredCounts:
    """Store results, judge the rules, change alerts and write notifications, in the session's transaction.

    Also notify about alerts that an earlier `monitor run` without --notify left unannounced: of this monitor, or of all
    monitors of the version when `monitor_id` is None.
    """
    with_new_baseline = _store_baselines(session, plan, answers)
    new_results = _store_results(session, plan, answers)
    org, public_url, recent = context.org, context.public_url, context.recent
    notifications = sum(judging.judge_result(session, org, result, public_url, recent=recent) for result in new_results)
    for rule in (rule for changed_id in with_new_baseline for rule in baselines.dependent_rules(session, changed_id)):
        with rule_failures.isolated(session, rule):
            notifications += judging.rejudge_rule(session, rule, context)
    notifications += notify_policy.notify_pending(session, context, plan.version.id, only=monitor_id)
    return StoredCounts(len(new_results), notifications)


def _store_baselines(session: Session, plan: Plan, answers: Sequence[CheckResult]) -> list[int]:
    """Store what checks returned for the reference itself; returns the ids of monitors with a new baseline."""
    monitors = {monitor.id: monitor for monitor, _ in plan.monitors}
    return [
        answer.monitor_id
        for answer in answers
        if answer.is_baseline
        and baselines.store(session, monitors[answer.monitor_id], plan.version, answer.value, answer.n)
    ]


def _store_results(session: Session, plan: Plan, answers: Sequence[CheckResult]) -> list[Result]:
    """Store what checks returned for the window, in order of monitor id; returns the new results."""
    monitors = {monitor.id: (monitor, check) for monitor, check in plan.monitors}
    ordered = sorted((item for item in answers if not item.is_baseline), key=lambda answer: answer.monitor_id)
    last = results.lock_newest(session, plan.version.id, plan.window, [answer.monitor_id for answer in ordered])
    stored = []
    for answer in ordered:
        monitor, check = monitors[answer.monitor_id]
        key = ResultKey(monitor, plan.version.id, plan.window)
        run = CheckRun(answer.n, answer.duration, _run_facts(plan, answer))
        inputs = _inputs(plan, monitor, check)
        stored.append(results.store(session, key, answer.value, inputs, run, last=last.get(monitor.id)))
    session.flush()
    return [result for result in stored if result is not None]


def _inputs(plan: Plan, monitor: Monitor, check: Check) -> ResultInputs:
    compared = plan.compared.get(monitor.id)
    compared_rows = None
    if compared is not None:
        n_used = compared.statistics.n_used(check.needs_labels)
        compared_rows = ComparedRows(compared.window, compared.statistics, n_used)
    return ResultInputs(plan.statistics_for(check), plan.version.reference_revision, compared_rows)


def _run_facts(plan: Plan, answer: CheckResult) -> dict[str, Any]:
    """Return how a value was computed, except what the result's own columns hold."""
    is_sample = answer.limit is not None and answer.n >= answer.limit and answer.n < plan.statistics.n
    return {
        "rows": "sample" if is_sample else "all",
        "limit": answer.limit,
        "deepchecks": library_version(),
    }
