"""Evaluate a window: plan it, load its rows, store what its checks return.

`dcmon worker start evaluate` and `dcmon monitor run` evaluate a window in the same steps. `prepare` lets
monitoring.planner decide which monitors are evaluated, and monitoring.row_loader read their rows. Then the caller runs
the checks in a dcmon.checks.evaluator.CheckEvaluator. `store` stores results, baselines, alerts and notifications.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from dcmon.alerting import baselines, judging, pending_notifications
from dcmon.alerting.baselines import NewBaseline
from dcmon.alerting.change_context import ChangeContext
from dcmon.checks.catalogue import LIBRARY_VERSION
from dcmon.checks.dataset_schema import CheckValue
from dcmon.checks.workload import CheckResult, Workload
from dcmon.db import Organization, locks
from dcmon.db.locks import LockSpace
from dcmon.db.tables.org import Check, Monitor, Result
from dcmon.monitoring import planner, results, row_loader
from dcmon.monitoring.planner import Plan, PlanRequest
from dcmon.monitoring.reference_cache import ReferenceCache
from dcmon.monitoring.results import CheckRun, ComparedRows, NewResult, ResultInputs, ResultKey
from dcmon.settings import Evaluate
from dcmon.states import ResultState


class PreparedWindow(NamedTuple):
    """A planned window, the checks to run, and the results that need no check."""

    plan: Plan
    workload: Workload
    known_results: list[CheckResult]


class StoredCounts(NamedTuple):
    """How many results and notifications were stored."""

    results: int
    notifications: int


def prepare(
    session: Session, org: Organization, request: PlanRequest, settings: Evaluate, references: ReferenceCache
) -> PreparedWindow:
    """Plan a window, and read the rows of its monitors.

    The session must read from one snapshot, so that the rows are those that the plan counted.
    """
    plan = planner.plan(session, request, settings, org.retention)
    loaded = row_loader.build_workload(session, org, plan, settings, references)
    return PreparedWindow(plan, loaded.workload, loaded.known_results)


def error_results(plan: Plan, reason: str) -> list[CheckResult]:
    """Return an ERROR for each monitor of a plan, whose window can't be evaluated."""
    return [CheckResult(monitor.id, CheckValue(ResultState.ERROR, reason=reason)) for monitor, _ in plan.monitors]


def result_names(plan: Plan, check_results: Sequence[CheckResult]) -> list[str]:
    """Return the names of the locks that `store` needs: of the results on the window, but not of baselines."""
    monitor_ids = [check_result.monitor_id for check_result in check_results if not check_result.is_baseline]
    return results.lock_names(plan.version.id, plan.window, monitor_ids)


def lock_results(session: Session, plan: Plan, check_results: Sequence[CheckResult]) -> None:
    """Lock the results that `store` numbers, until the transaction ends."""
    locks.acquire_named(session, LockSpace.RESULTS, result_names(plan, check_results))


def store(
    session: Session,
    plan: Plan,
    check_results: Sequence[CheckResult],
    context: ChangeContext,
    monitor_id: int | None = None,
) -> StoredCounts:
    """Store results, judge rules, change alerts and write notifications.

    All of it is in the session's transaction, which holds the locks of `result_names`. Also notify about alerts that an
    earlier `monitor run` without --notify did not notify about: of this monitor, or of all monitors of the version when
    `monitor_id` is None.
    """
    changed_ids = _store_baselines(session, plan, check_results)
    new_results = _store_results(session, plan, check_results)
    notifications, may_have_pending = judging.judge_results(session, new_results, context)
    notifications += judging.rejudge_rules(session, baselines.dependent_rules(session, changed_ids), context)
    if may_have_pending or changed_ids:
        notifications += pending_notifications.notify_pending(session, context, plan.version.id, monitor_id=monitor_id)
    return StoredCounts(len(new_results), notifications)


def _store_baselines(session: Session, plan: Plan, check_results: Sequence[CheckResult]) -> list[int]:
    """Store the results on the reference; return the ids of monitors with a new baseline."""
    monitors = {monitor.id: monitor for monitor, _ in plan.monitors}
    new_baselines = [
        NewBaseline(monitors[check_result.monitor_id], check_result.value, check_result.n)
        for check_result in check_results
        if check_result.is_baseline
    ]
    return baselines.store(session, plan.version, new_baselines)


def _store_results(session: Session, plan: Plan, check_results: Sequence[CheckResult]) -> list[Result]:
    """Store the results on the window, in order of monitor id; return the new ones."""
    monitors = {monitor.id: (monitor, check) for monitor, check in plan.monitors}
    ordered = sorted(
        (check_result for check_result in check_results if not check_result.is_baseline),
        key=lambda check_result: check_result.monitor_id,
    )
    last = results.newest_by_monitor(
        session, plan.version.id, plan.window, [check_result.monitor_id for check_result in ordered]
    )
    values = []
    for check_result in ordered:
        monitor, check = monitors[check_result.monitor_id]
        key = ResultKey(monitor, plan.version.id, plan.window)
        run = CheckRun(check_result.n, check_result.duration, _run_details(plan, check_result))
        inputs = _inputs(plan, monitor, check)
        values.append(NewResult(key, check_result.value, inputs, run, last.get(monitor.id)))
    return results.store_all(session, values)


def _inputs(plan: Plan, monitor: Monitor, check: Check) -> ResultInputs:
    compared = plan.compared.get(monitor.id)
    compared_rows = None
    if compared is not None:
        n_used = compared.statistics.n_used(check.needs_labels)
        compared_rows = ComparedRows(compared.window, compared.statistics, n_used)
    return ResultInputs(plan.statistics_for(check), plan.version.reference_revision, compared_rows)


def _run_details(plan: Plan, check_result: CheckResult) -> dict[str, Any]:
    """Return how a value was computed, without what other columns of the result hold."""
    is_sample = (
        check_result.limit is not None and check_result.n >= check_result.limit and check_result.n < plan.statistics.n
    )
    details = {
        "rows": "sample" if is_sample else "all",
        "limit": check_result.limit,
        "statistics": f"dcmon 1 = deepchecks {LIBRARY_VERSION}",
    }
    return {**details, "changes": check_result.value.changes} if check_result.value.changes else details
