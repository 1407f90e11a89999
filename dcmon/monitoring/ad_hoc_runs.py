"""Values of a check for one request: those of evaluated windows are stored results, others are computed.

They are computed by the functions that evaluate monitors, on the same sample of rows, so that the numbers are those
that a monitor stores.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.checks import data_flow, no_value_reasons
from dcmon.checks.dataset_schema import CheckValue
from dcmon.checks.evaluator import CheckEvaluator
from dcmon.checks.workload import CheckResult, Workload
from dcmon.db import Organization
from dcmon.db.tables.org import MonitorWithCheck, Result, Version
from dcmon.formatting import format_moment
from dcmon.ingestion import sample_counts
from dcmon.monitoring import (
    flow_metrics,
    lookback_windows,
    reevaluation_policy,
    results,
    row_loader,
    schedules,
)
from dcmon.monitoring.ad_hoc_monitors import AdHocMonitor
from dcmon.monitoring.planner import ComparedWindow, Plan
from dcmon.monitoring.reference_cache import ReferenceCache
from dcmon.settings import Evaluate
from dcmon.states import ResultState
from dcmon.storage import sampling
from dcmon.storage.sampling import WindowStatistics
from dcmon.windows import Window, quarter_hour_start


class TimeSpan(NamedTuple):
    """A span of time [start, end), aware."""

    start: datetime
    end: datetime


@dataclass
class Computer:
    """What computes values: the settings of monitors, the caches, and the bounds of one request.

    `wait` is called before each window, and while a check runs; it raises an exception when the request must end.
    """

    settings: Evaluate
    references: ReferenceCache
    evaluator: CheckEvaluator
    wait: Callable[[Session | None], None]

    def run(self, session: Session, org: Organization, plan: Plan) -> CheckResult:
        """Return the value of a plan's only monitor."""
        self.wait(session)
        workload, known_results = row_loader.build_workload(session, org, plan, self.settings, self.references)
        (check_result,) = [*known_results, *self.run_checks(workload)]
        return check_result

    def run_checks(self, workload: Workload) -> list[CheckResult]:
        """Return the values of a workload."""
        return self.evaluator.run(workload, lambda: self.wait(None))

    def run_pictures(self, workload: Workload) -> list[CheckResult]:
        """Return the pictures of a workload. Raises LibraryMissing."""
        return self.evaluator.run_pictures(workload, lambda: self.wait(None))


@dataclass(frozen=True)
class WindowValue:
    """The value of a check on rows of a version.

    `n`: from how many rows it is. `n_rows`, `n_labelled`: how many the window has. `result`: the stored result that has
    the value; None if it was computed for this request.
    """

    value: CheckValue
    n: int
    n_rows: int
    n_labelled: int
    reference_revision: int
    result: Result | None = None

    @property
    def metrics(self) -> dict[str, float] | None:
        """The numbers by name; None without a value."""
        return self.value.metrics if self.value.state == ResultState.OK else None


@dataclass(frozen=True)
class Lookback:
    """The values of versions in windows: a list for each version, in the order of `windows`."""

    monitor: AdHocMonitor
    windows: Sequence[Window]
    values: Mapping[str, Sequence[WindowValue]] = field(default_factory=dict)


def lookback(
    session: Session, org: Organization, ad_hoc: AdHocMonitor, span: TimeSpan, computer: Computer | None
) -> Lookback | None:
    """Return the values of the last windows of a span of time.

    The session must read from one snapshot. `computer`: None to compute nothing; then the result is None if a window
    has no current result. Raises NotFound if no version has rows in the span.
    """
    schedule = ad_hoc.schedule
    windows = lookback_windows.windows_of_range(span.start, span.end, schedule.grid, schedule.zone)
    chosen = _require_rows(session, ad_hoc, span)
    newest = results.newest_of_windows(
        session, [monitor.id for monitor in ad_hoc.equal_monitors], [version.id for version in chosen], windows
    )
    stored: dict[tuple[int, Window], list[Result]] = {}
    for result in newest:
        key = result.version_id, Window(result.window_start, result.window_end)
        stored.setdefault(key, []).append(result)
    values = dict[str, list[WindowValue]]()
    for version in chosen:
        for plan in _plans(session, org, ad_hoc, version, windows):
            value = _known_value(session, ad_hoc, plan, stored.get((version.id, plan.window), ()))
            if value is None:
                if computer is None:
                    return None
                value = computed_value(plan, computer.run(session, org, plan))
            values.setdefault(version.name, []).append(value)
    return Lookback(ad_hoc, windows, values)


def window_values(
    session: Session, org: Organization, ad_hoc: AdHocMonitor, span: TimeSpan, computer: Computer
) -> dict[str, WindowValue]:
    """Return the value of each version in one window, which need not be aligned. Raises NotFound as `lookback`."""
    window, values = Window(span.start, span.end), dict[str, WindowValue]()
    for version in _require_rows(session, ad_hoc, span):
        computer.wait(session)
        plan = window_plan(session, ad_hoc, version, window)
        values[version.name] = value_of_plan(session, org, ad_hoc, plan, computer)
    return values


def value_of_plan(
    session: Session, org: Organization, ad_hoc: AdHocMonitor, plan: Plan, computer: Computer
) -> WindowValue:
    """Return the value of one window that has no stored result."""
    known = _known_value(session, ad_hoc, plan, ())
    return known or computed_value(plan, computer.run(session, org, plan))


def reference_values(
    session: Session, org: Organization, ad_hoc: AdHocMonitor, max_rows: int, computer: Computer
) -> dict[str, WindowValue]:
    """Return the value of each version's reference, of at most `max_rows` rows.

    Versions without a reference are left out. Raises InvalidInput for a check that compares, and NotFound without
    versions.
    """
    check = ad_hoc.check
    if check.needs_reference or data_flow.is_data_flow(check):
        reason = "compares a window with the reference" if check.needs_reference else "counts rows that arrive"
        raise errors.InvalidInput(f"{check.class_name} {reason}, so it has no value on the reference itself.")
    chosen, values = ad_hoc.versions(session), dict[str, WindowValue]()
    if not chosen:
        raise errors.NotFound(f"Model {ad_hoc.model.name!r} has no version.")
    settings = computer.settings.model_copy(update={"sample_size": max_rows})
    for version in chosen:
        if version.reference_revision:
            computer.wait(session)
            values[version.name] = _on_reference(session, org, ad_hoc, version, replace(computer, settings=settings))
    return values


def _on_reference(
    session: Session, org: Organization, ad_hoc: AdHocMonitor, version: Version, computer: Computer
) -> WindowValue:
    plan = _plan(ad_hoc, version, Window(version.created_at, version.created_at), WindowStatistics())
    try:
        request, schema, sample = row_loader.load_reference(session, org, plan, computer.settings)
    except errors.InvalidInput as error:  # too many bytes
        return _without_rows(version, CheckValue(ResultState.ERROR, reason=str(error)))
    if sample is None:
        reason = row_loader.no_reference_rows_reason(ad_hoc.monitor, ad_hoc.check)
        return _without_rows(version, CheckValue(ResultState.NO_DATA, reason=reason))
    workload = Workload(schema, [replace(request, compared=None)], {request.current: sample})
    (check_result,) = computer.run_checks(workload)
    n_rows = sample.n_selected_from or len(sample)
    return WindowValue(check_result.value, check_result.n, n_rows, check_result.n, version.reference_revision)


def _without_rows(version: Version, value: CheckValue) -> WindowValue:
    return WindowValue(value, 0, 0, 0, version.reference_revision)


def _require_rows(session: Session, ad_hoc: AdHocMonitor, span: TimeSpan) -> list[Version]:
    """Return the versions, at least one of which has rows in a span. Raises NotFound."""
    chosen = ad_hoc.versions(session)
    is_flow = data_flow.is_data_flow(ad_hoc.check)
    if not any(is_flow or _overlaps(version, span) for version in chosen):
        start, end = (f"{format_moment(time)}" for time in span)
        raise errors.NotFound(f"No version of model {ad_hoc.model.name!r} has samples from {start} to {end}.")
    return chosen


def _overlaps(version: Version, span: TimeSpan) -> bool:
    earliest, newest = version.earliest, version.watermark
    return earliest is not None and newest is not None and earliest <= span.end and newest >= span.start


def _plans(
    session: Session, org: Organization, ad_hoc: AdHocMonitor, version: Version, windows: Sequence[Window]
) -> Iterator[Plan]:
    """Yield the plan of each window, as the planner of monitors makes it."""
    compared = {window: schedules.compared_window(ad_hoc.schedule, window) for window in windows}
    counted = [window for window in dict.fromkeys([*windows, *compared.values()]) if window is not None]
    statistics = sampling.statistics_of_windows(session, version.id, counted)
    first_start = schedules.retained_from(ad_hoc.model, org.retention, datetime.now(UTC))
    for window in windows:
        plan = _plan(ad_hoc, version, window, statistics[window])
        if (earlier := compared[window]) is not None:
            is_pruned = earlier.start < first_start
            plan = replace(plan, compared={ad_hoc.monitor.id: ComparedWindow(earlier, statistics[earlier], is_pruned)})
        yield plan


def window_plan(session: Session, ad_hoc: AdHocMonitor, version: Version, window: Window) -> Plan:
    """Return the plan of a window that need not be aligned, with the exact number of its rows."""
    return _plan(ad_hoc, version, window, _exact_statistics(session, version, window))


def _plan(ad_hoc: AdHocMonitor, version: Version, window: Window, statistics: WindowStatistics) -> Plan:
    return Plan(ad_hoc.model, version, window, statistics, [MonitorWithCheck(ad_hoc.monitor, ad_hoc.check)])


def _exact_statistics(session: Session, version: Version, window: Window) -> WindowStatistics:
    """Count the rows of a window: whole quarter hours by their counts, the rows of its two ends one by one."""
    first, last = quarter_hour_start(window.start), quarter_hour_start(window.end)
    if first == window.start.astimezone(UTC) and last == window.end.astimezone(UTC):
        return sampling.window_statistics(session, version.id, window.start, window.end)
    first_full = first if first == window.start else first + lookback_windows.QUARTER_HOUR
    if first_full >= last:
        ends, n, n_labelled = [TimeSpan(window.start, window.end)], 0, 0
    else:
        full = sampling.window_statistics(session, version.id, first_full, last)
        ends, n, n_labelled = (
            [TimeSpan(window.start, first_full), TimeSpan(last, window.end)],
            full.n,
            full.n_labelled,
        )
    for start, end in ends:
        counts = sample_counts.window_counts(session, version, start, end)
        n, n_labelled = n + counts.samples, n_labelled + counts.labelled
    return WindowStatistics(n, n_labelled)


def _known_value(session: Session, ad_hoc: AdHocMonitor, plan: Plan, stored: Sequence[Result]) -> WindowValue | None:
    """Return the value that needs no check: of a current result, of a window without rows, or of arriving rows."""
    for result in stored:
        if _is_current(ad_hoc, plan, result):
            return _of_result(result)
    if data_flow.is_data_flow(ad_hoc.check):
        return _flow_value(session, ad_hoc, plan)
    if not plan.statistics.n:
        return computed_value(plan, CheckResult(0, CheckValue(ResultState.NO_DATA, reason=no_value_reasons.NO_ROWS)))
    return None


def _is_current(ad_hoc: AdHocMonitor, plan: Plan, result: Result) -> bool:
    """Return True if a result is of all rows that are stored now, and of the current monitor and reference."""
    monitor = next(monitor for monitor in ad_hoc.equal_monitors if monitor.id == result.monitor_id)
    if result.state == ResultState.ERROR or result.monitor_revision != monitor.revision:
        return False
    if ad_hoc.uses_reference and result.reference_revision != plan.version.reference_revision:
        return False
    if data_flow.is_data_flow(ad_hoc.check):
        # Counting costs no more than to see whether the result is current; but what was pruned can't be counted.
        return not plan.statistics.n and result.n_rows > 0
    return reevaluation_policy.is_up_to_date(result, plan.inputs_for(ad_hoc.monitor, ad_hoc.check))


def _flow_value(session: Session, ad_hoc: AdHocMonitor, plan: Plan) -> WindowValue:
    """Count arriving rows, with the labels that came so far, as `dcmon monitor run` does."""
    flow = flow_metrics.measure(session, ad_hoc.model, plan.version, plan.window, plan.statistics, None)
    chosen = (ad_hoc.monitor.additional_kwargs or {}).get("res_conf")
    value, n = flow_metrics.flow_value(flow, chosen), flow_metrics.n_counted(flow, chosen)
    return computed_value(plan, CheckResult(0, value, n))


def _of_result(result: Result) -> WindowValue:
    intervals: Mapping[str, Any] = result.intervals or {}
    value = CheckValue(
        ResultState(result.state), dict(result.metrics), result.reason,
        intervals={name: intervals[name] for name in result.metrics if name in intervals},
    )  # fmt: skip
    return WindowValue(value, result.n, result.n_rows, result.n_labelled, result.reference_revision, result)


def computed_value(plan: Plan, check_result: CheckResult) -> WindowValue:
    """Return the value of a plan's window that was computed for the request."""
    value, statistics = check_result.value, plan.statistics
    intervals = {name: limits for name, limits in value.intervals.items() if name in value.metrics}
    return WindowValue(
        replace(value, intervals=intervals), check_result.n, statistics.n, statistics.n_labelled,
        plan.version.reference_revision,
    )  # fmt: skip


def lookback_start(ad_hoc: AdHocMonitor, end: datetime) -> datetime:
    """Return the time at which the lookback of a monitor begins, at the earliest in 1970."""
    earliest = datetime(1970, 1, 1, tzinfo=UTC)
    return max(earliest, end - min(ad_hoc.monitor.lookback, end - earliest)) if end > earliest else end
