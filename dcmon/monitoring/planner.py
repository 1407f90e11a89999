"""Plan a window: which monitors evaluate it now, and when to plan it again."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session

from dcmon.alerting import baselines
from dcmon.checks import catalogue, data_flow
from dcmon.db.tables.org import Check, Model, Monitor, MonitorWithCheck, Result, Version
from dcmon.monitoring import flow_metrics, reevaluation_policy, results, schedules
from dcmon.monitoring.due_windows import VersionWindow
from dcmon.monitoring.flow_metrics import FlowCounts
from dcmon.monitoring.reevaluation_policy import CheckInputs, Decision, WaitingTerms
from dcmon.monitoring.schedules import Schedule
from dcmon.settings import Evaluate
from dcmon.states import ResultState
from dcmon.storage import sampling
from dcmon.storage.sampling import WindowStatistics
from dcmon.windows import ComparedWith, Window, time_zone


@dataclass(frozen=True)
class PlanRequest:
    """A window of a version to plan.

    `touched_at`: when rows of the window came last. `monitor_id`: plan only this monitor, even without new rows.
    `is_flow`: plan only the monitors that count arriving rows (check DataFlow).
    """

    version_id: int
    window: Window
    touched_at: datetime
    now: datetime
    monitor_id: int | None = None
    is_flow: bool = False


@dataclass(frozen=True)
class ComparedWindow:
    """The earlier window that a monitor compares with, and the statistics of its rows.

    `is_pruned`: True if the window begins before the retention, so that its rows are pruned, or will be soon.
    """

    window: Window
    statistics: WindowStatistics
    is_pruned: bool = False


class VersionOfModel(NamedTuple):
    """A version and its model."""

    version: Version
    model: Model


@dataclass(frozen=True)
class _Candidate:
    """A monitor that may evaluate the window, and its newest result of it.

    `uses_reference`: True if a rule compares with the check's value on the reference.
    """

    monitor: Monitor
    check: Check
    last: Result | None
    uses_reference: bool


@dataclass(frozen=True)
class Plan:
    """What is evaluated in a window of a version.

    `monitors`: the monitors that evaluate the window now. `again_at`: when to plan the window again; None: only when
    rows touch it. `compared`: by monitor id, the earlier window that a monitor compares with in place of the reference.
    `flow`: the counts of arriving rows; None if no monitor counts them. `settled`: the ids of monitors whose result
    stays, because the rows that it was compared with are pruned. `with_reference_rules`: the ids of monitors with rules
    that compare with the check's value on the reference.
    """

    model: Model
    version: Version
    window: Window
    statistics: WindowStatistics
    monitors: Sequence[MonitorWithCheck]
    again_at: datetime | None = None
    compared: Mapping[int, ComparedWindow] = field(default_factory=dict)
    flow: FlowCounts | None = None
    settled: Collection[int] = ()
    with_reference_rules: Collection[int] = ()

    def statistics_for(self, check: Check) -> WindowStatistics:
        """Return the statistics to store with a result of this check."""
        return self.flow.statistics if self.flow is not None and data_flow.is_data_flow(check) else self.statistics

    def inputs_for(self, monitor: Monitor, check: Check) -> CheckInputs:
        """Return what a monitor would read if it were evaluated now."""
        compared = self.compared.get(monitor.id)
        compared_statistics = None if compared is None or compared.is_pruned else compared.statistics
        uses_late_labels = catalogue.uses_late_labels(check.module_name, check.class_name)
        return CheckInputs(self.statistics_for(check), check.needs_labels, compared_statistics, uses_late_labels)


def plan(session: Session, request: PlanRequest, settings: Evaluate, org_retention: timedelta | None = None) -> Plan:
    """Plan a window: decide which monitors evaluate it now.

    A result that was compared with rows that are pruned now can't be computed again: it stays, even if rows come late
    to its window. The number of statements does not depend on the number of monitors.
    """
    version, model = session.execute(_version_statement(), {"version": request.version_id}).one()
    candidates = _candidates(session, model, request)
    empty_plan = _empty_plan(session, request, VersionOfModel(version, model), candidates, org_retention)
    chosen, again_times, settled = list[MonitorWithCheck](), list[datetime](), set[int]()
    for candidate in candidates:
        monitor, last = candidate.monitor, candidate.last
        compared = empty_plan.compared.get(monitor.id)
        if compared is not None and compared.is_pruned and last is not None and _is_final(last, monitor):
            settled.add(monitor.id)
            continue
        decision = _decide(empty_plan, candidate, request, settings)
        if decision.is_due or request.monitor_id is not None:
            chosen.append(MonitorWithCheck(monitor, candidate.check))
        if decision.again_at is not None:
            again_times.append(decision.again_at)
    return replace(empty_plan, monitors=chosen, again_at=min(again_times, default=None), settled=settled)


def _candidates(session: Session, model: Model, request: PlanRequest) -> list[_Candidate]:
    """Return the requested monitors of a model whose grid includes this window, in order of id."""
    window, zone = request.window, time_zone(model.time_zone)
    rows = session.execute(
        _candidates_statement(),
        {"model": model.id, "version": request.version_id, "window_start": window.start, "window_end": window.end},
    ).all()
    candidates = [
        _Candidate(monitor, check, last, uses_reference=baselines.use_reference(conditions or ()))
        for monitor, check, last, conditions in rows
    ]
    return [
        candidate
        for candidate in candidates
        if request.monitor_id in (None, candidate.monitor.id)
        and (data_flow.is_data_flow(candidate.check) or not request.is_flow)
        and schedules.monitor_grid(candidate.monitor).includes(window, zone)
    ]


@cache
def _version_statement() -> Select[Version, Model]:
    """Return the statement that reads a version and its model."""
    of_version = select(Version, Model).join(Model, Model.id == Version.model_id)
    return of_version.where(Version.id == bindparam("version"))


@cache
def _candidates_statement() -> Select[Monitor, Check, Result, Any]:
    """Return the statement that reads the monitors of a model, each with its newest result of a window.

    It is built once, because that costs more than to run it.
    """
    newest_result_id = (
        select(Result.id)
        .where(
            Result.monitor_id == Monitor.id, Result.version_id == bindparam("version"),
            Result.window_end == bindparam("window_end"), Result.window_start == bindparam("window_start"),
        )
        .order_by(Result.revision.desc())
        .limit(1)
        .correlate(Monitor)
        .scalar_subquery()
    )  # fmt: skip
    return (
        select(Monitor, Check, Result, baselines.condition_texts(Monitor.id))
        .join(Check, Check.id == Monitor.check_id)
        .outerjoin(Result, Result.id == newest_result_id)
        .where(Check.model_id == bindparam("model"))
        .order_by(Monitor.id)
    )


def _empty_plan(
    session: Session,
    request: PlanRequest,
    version_of_model: VersionOfModel,
    candidates: Sequence[_Candidate],
    org_retention: timedelta | None,
) -> Plan:
    """Return a plan that evaluates no monitor yet, with the counts of rows that decisions need."""
    version, model = version_of_model
    earlier_windows = _earlier_windows(model, candidates, request.window)
    statistics = sampling.statistics_of_windows(
        session, version.id, list(dict.fromkeys([request.window, *earlier_windows.values()]))
    )
    first_start = schedules.retained_from(model, org_retention, request.now)
    compared = {
        monitor_id: ComparedWindow(window, statistics[window], window.start < first_start)
        for monitor_id, window in earlier_windows.items()
    }
    with_reference_rules = {candidate.monitor.id for candidate in candidates if candidate.uses_reference}
    plan = Plan(
        model, version, request.window, statistics[request.window], [],
        compared=compared, with_reference_rules=with_reference_rules,
    )  # fmt: skip
    if any(data_flow.is_data_flow(candidate.check) for candidate in candidates):
        plan = replace(plan, flow=_measure_flow(session, plan, request))
    return plan


def _earlier_windows(model: Model, candidates: Sequence[_Candidate], window: Window) -> dict[int, Window]:
    """Return the windows that monitors compare with in place of the reference, by monitor id."""
    compared_windows = {
        candidate.monitor.id: schedules.compared_window(Schedule(candidate.monitor, candidate.check, model), window)
        for candidate in candidates
    }
    return {monitor_id: compared for monitor_id, compared in compared_windows.items() if compared is not None}


def _measure_flow(session: Session, plan: Plan, request: PlanRequest) -> FlowCounts:
    model, awaited_until = plan.model, None
    if request.monitor_id is None:
        awaited_until = reevaluation_policy.labels_awaited_until(
            [plan.statistics], model.label_ratio, model.label_delay, request.now
        )
    return flow_metrics.measure(session, model, plan.version, plan.window, plan.statistics, awaited_until)


def _decide(plan: Plan, candidate: _Candidate, request: PlanRequest, settings: Evaluate) -> Decision:
    monitor, check, last = candidate.monitor, candidate.check, candidate.last
    decision = reevaluation_policy.decide(
        plan.inputs_for(monitor, check),
        last,
        WaitingTerms(plan.model.label_ratio, plan.model.label_delay, settings.label_quiet),
        is_same_monitor=last is not None and _has_same_revisions(plan, last, monitor, check),
        touched_at=request.touched_at,
        now=request.now,
    )
    if plan.flow is None or not data_flow.is_data_flow(check):
        return decision
    return _decide_flow(decision, plan.flow, monitor, last)


def _is_final(last: Result, monitor: Monitor) -> bool:
    """Return True if a result that can't be computed again stays."""
    return last.state == ResultState.OK and last.monitor_revision == monitor.revision


def _decide_flow(decision: Decision, flow: FlowCounts, monitor: Monitor, last: Result | None) -> Decision:
    """Decide whether a monitor that counts arriving rows is evaluated now.

    Counting is cheap, so a changed metric is evaluated at once.
    """
    chosen = (monitor.additional_kwargs or {}).get("res_conf")
    awaited_until = flow.labels_awaited_until if flow_metrics.reads_labels(chosen) else None
    if awaited_until is not None and flow_metrics.flow_value(flow, chosen).state != ResultState.OK:
        return Decision(False, awaited_until)
    if last is not None and decision.again_at is not None and flow_metrics.has_changed(flow, chosen, last.metrics):
        return Decision(True, awaited_until)
    return Decision(decision.is_due, min((at for at in (decision.again_at, awaited_until) if at), default=None))


def is_evaluated(
    session: Session,
    version_window: VersionWindow,
    monitor_id: int,
    settings: Evaluate,
    now: datetime,
    org_retention: timedelta | None = None,
) -> bool:
    """Return True if the monitor's newest result of the window is up to date.

    A result that can't be computed again counts as up to date.
    """
    version_id, window = version_window
    request = PlanRequest(version_id, window, touched_at=now, now=now, monitor_id=monitor_id)
    current = plan(session, request, settings, org_retention)
    if monitor_id in current.settled:
        return True
    last = results.newest_by_monitor(session, version_id, window, [monitor_id]).get(monitor_id)
    if last is None or last.state == ResultState.ERROR or not current.monitors:
        return False
    ((monitor, check),) = current.monitors
    is_same = _has_same_revisions(current, last, monitor, check)
    return is_same and reevaluation_policy.is_up_to_date(last, current.inputs_for(monitor, check))


def _has_same_revisions(plan: Plan, last: Result, monitor: Monitor, check: Check) -> bool:
    """Return True if a result is of the current revisions of monitor and reference.

    The revision of the reference counts only if the monitor, or one of its rules, uses the reference.
    """
    if last.monitor_revision != monitor.revision:
        return False
    if last.reference_revision == plan.version.reference_revision:
        return True
    if check.needs_reference:
        return monitor.compared_with != ComparedWith.REFERENCE
    return monitor.id not in plan.with_reference_rules
