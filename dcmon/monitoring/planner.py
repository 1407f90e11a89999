"""Plan a window: which monitors evaluate it now, and when to plan it again."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from dcmon.alerting import baselines
from dcmon.checks import data_flow
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


@dataclass(frozen=True)
class Plan:
    """What is evaluated in a window of a version.

    `monitors`: the monitors that evaluate the window now. `again_at`: when to plan the window again; None: only when
    rows touch it. `compared`: by monitor id, the earlier window that a monitor compares with in place of the reference.
    `flow`: the counts of arriving rows; None if no monitor counts them. `settled`: the ids of monitors whose result
    stays, because the rows that it was compared with are pruned.
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

    def statistics_for(self, check: Check) -> WindowStatistics:
        """Return the statistics to store with a result of this check."""
        return self.flow.statistics if self.flow is not None and data_flow.is_data_flow(check) else self.statistics

    def inputs_for(self, monitor: Monitor, check: Check) -> CheckInputs:
        """Return what a monitor would read if it were evaluated now."""
        compared = self.compared.get(monitor.id)
        compared_statistics = None if compared is None or compared.is_pruned else compared.statistics
        return CheckInputs(self.statistics_for(check), check.needs_labels, compared_statistics)


def plan(session: Session, request: PlanRequest, settings: Evaluate, org_retention: timedelta | None = None) -> Plan:
    """Plan a window: decide which monitors evaluate it now.

    A result that was compared with rows that are pruned now can't be computed again: it stays, even if rows come late
    to its window.
    """
    version = session.get_one(Version, request.version_id)
    model = session.get_one(Model, version.model_id)
    monitors = _monitors_with_window(session, model, request)
    statistics = sampling.window_statistics(session, version.id, request.window.start, request.window.end)
    last_results = results.newest_by_monitor(
        session, version.id, request.window, [monitor.id for monitor, _ in monitors]
    )
    empty_plan = Plan(
        model, version, request.window, statistics, [], None,
        _compared_windows(session, request, model, monitors, org_retention),
    )  # fmt: skip
    if any(data_flow.is_data_flow(check) for _, check in monitors):
        empty_plan = replace(empty_plan, flow=_measure_flow(session, empty_plan, request))
    chosen, again_times, settled = list[MonitorWithCheck](), list[datetime](), set[int]()
    for monitor, check in monitors:
        last, compared = last_results.get(monitor.id), empty_plan.compared.get(monitor.id)
        if compared is not None and compared.is_pruned and last is not None and _is_final(last, monitor):
            settled.add(monitor.id)
            continue
        decision = _decide(session, empty_plan, MonitorWithCheck(monitor, check), last, request, settings)
        if decision.is_due or request.monitor_id is not None:
            chosen.append(MonitorWithCheck(monitor, check))
        if decision.again_at is not None:
            again_times.append(decision.again_at)
    return replace(empty_plan, monitors=chosen, again_at=min(again_times, default=None), settled=settled)


def _monitors_with_window(session: Session, model: Model, request: PlanRequest) -> list[MonitorWithCheck]:
    """Return the requested monitors of a model whose grid includes this window."""
    zone = time_zone(model.time_zone)
    return [
        MonitorWithCheck(monitor, check)
        for monitor, check in schedules.monitors_of_model(session, model)
        if request.monitor_id in (None, monitor.id)
        and (data_flow.is_data_flow(check) or not request.is_flow)
        and schedules.monitor_grid(monitor).includes(request.window, zone)
    ]


def _measure_flow(session: Session, plan: Plan, request: PlanRequest) -> FlowCounts:
    model, awaited_until = plan.model, None
    if request.monitor_id is None:
        awaited_until = reevaluation_policy.labels_awaited_until(
            [plan.statistics], model.label_ratio, model.label_delay, request.now
        )
    return flow_metrics.measure(session, model, plan.version, plan.window, plan.statistics, awaited_until)


def _decide(
    session: Session,
    plan: Plan,
    monitor_with_check: MonitorWithCheck,
    last: Result | None,
    request: PlanRequest,
    settings: Evaluate,
) -> Decision:
    monitor, check = monitor_with_check
    decision = reevaluation_policy.decide(
        plan.inputs_for(monitor, check),
        last,
        WaitingTerms(plan.model.label_ratio, plan.model.label_delay, settings.label_quiet),
        is_same_monitor=last is not None and _has_same_revisions(session, last, monitor, check, plan.version),
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


def _compared_windows(
    session: Session,
    request: PlanRequest,
    model: Model,
    monitors: Sequence[MonitorWithCheck],
    org_retention: timedelta | None,
) -> dict[int, ComparedWindow]:
    """Return the windows that monitors compare with, by monitor id.

    The statistics of each window are read once.
    """
    first_start = schedules.retained_from(model, org_retention, request.now)
    compared_windows: dict[int, ComparedWindow] = {}
    statistics: dict[Window, WindowStatistics] = {}
    for monitor, check in monitors:
        window = schedules.compared_window(Schedule(monitor, check, model), request.window)
        if window is None:
            continue
        if window not in statistics:
            statistics[window] = sampling.window_statistics(session, request.version_id, window.start, window.end)
        compared_windows[monitor.id] = ComparedWindow(window, statistics[window], window.start < first_start)
    return compared_windows


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
    is_same = _has_same_revisions(session, last, monitor, check, current.version)
    return is_same and reevaluation_policy.is_up_to_date(last, current.inputs_for(monitor, check))


def _has_same_revisions(session: Session, last: Result, monitor: Monitor, check: Check, version: Version) -> bool:
    """Return True if a result is of the current revisions of monitor and reference.

    The revision of the reference counts only if the monitor, or one of its rules, uses the reference.
    """
    if last.monitor_revision != monitor.revision:
        return False
    if last.reference_revision == version.reference_revision:
        return True
    if check.needs_reference:
        return monitor.compared_with != ComparedWith.REFERENCE
    return not baselines.dependent_rules(session, monitor.id)
