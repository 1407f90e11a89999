"""Planning a window of a version: which of its monitors are evaluated now, and when to look at the rest again."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from dcmon.alerting import baselines
from dcmon.checks import data_flow
from dcmon.db.tables.org import Check, Model, Monitor, Result, Version
from dcmon.monitoring import flow_metrics as flow
from dcmon.monitoring import reevaluation_policy, results, schedules
from dcmon.monitoring.flow_metrics import FlowStatistics
from dcmon.monitoring.reevaluation_policy import Decision
from dcmon.settings import Evaluate
from dcmon.states import ResultState
from dcmon.storage import sampling
from dcmon.storage.sampling import Extent
from dcmon.windows import ComparedWith, Comparison, Frequency, Window, WindowGrid, time_zone


@dataclass(frozen=True)
class ComparedWindow:
    """The window that a monitor compares with, and what the version has in it.

    `is_pruned`: it begins before the retention, so rows of it are gone, or go soon.
    """

    window: Window
    there: Extent
    is_pruned: bool = False


@dataclass(frozen=True)
class Plan:
    """What is to be evaluated in a window of a version, and when to look at the rest again.

    `earlier`: by monitor, the window that takes the part of the reference, and what the version has in it.
    `flow`: what came in the window, where a monitor counts that. `settled`: the monitors whose result stays, because
    what it was compared with is gone.
    """

    model: Model
    version: Version
    window: Window
    there: Extent
    monitors: Sequence[tuple[Monitor, Check]]
    again_at: datetime | None = None
    earlier: Mapping[int, ComparedWindow] = field(default_factory=dict)
    flow: FlowStatistics | None = None
    settled: Collection[int] = ()

    def seen_by(self, check: Check) -> Extent:
        """What a result of this check has seen."""
        return self.flow.extent if self.flow is not None and data_flow.is_flow(check) else self.there


def plan(
    session: Session,
    version_id: int,
    window: Window,
    touched_at: datetime,
    settings: Evaluate,
    now: datetime,
    only: int | None = None,
    is_flow: bool = False,
    kept: timedelta | None = None,
) -> Plan:
    """Which monitors are evaluated now. `only`: this monitor, whether or not anything is new.

    `is_flow`: those on the flow of rows, and no others. `kept`: the organization's retention. A result that was
    compared with rows that are pruned by now can't be had again: it stays, whatever comes late to its window.
    """
    version = session.get_one(Version, version_id)
    model = session.get_one(Model, version.model_id)
    on_it = _on(session, model, window, only, is_flow)
    there = sampling.extent(session, version_id, window.start, window.end)
    last = results.newest_by_monitor(session, version_id, window, [monitor.id for monitor, _ in on_it])
    earlier = _earlier(
        session, version_id, window, on_it, time_zone(model.time_zone), schedules.retained_from(model, kept, now)
    )
    counted = None
    if any(data_flow.is_flow(check) for _, check in on_it):
        counted = flow.measure(session, model, version, window, there, now, waits=only is None)
    made = Plan(model, version, window, there, [], None, earlier, counted)
    chosen, waits, settled = [], [], set[int]()
    for monitor, check in on_it:
        before, other = last.get(monitor.id), earlier.get(monitor.id)
        if other is not None and other.is_pruned and before is not None and _stays(before, monitor):
            settled.add(monitor.id)
            continue
        decision = _decide(session, made, monitor, check, before, settings.label_quiet, touched_at, now)
        if decision.now or only is not None:
            chosen.append((monitor, check))
        if decision.again_at is not None:
            waits.append(decision.again_at)
    return replace(made, monitors=chosen, again_at=min(waits, default=None), settled=settled)


def _on(session: Session, model: Model, window: Window, only: int | None, is_flow: bool) -> list[tuple[Monitor, Check]]:
    """The monitors of a model that have this window, of those that are asked for."""
    local = time_zone(model.time_zone)
    return [
        (monitor, check)
        for monitor, check in schedules.monitors_of_model(session, model)
        if only in (None, monitor.id)
        and (data_flow.is_flow(check) or not is_flow)
        and WindowGrid(Frequency(monitor.frequency), monitor.aggregation_window).includes(window, local)
    ]


def _decide(
    session: Session,
    made: Plan,
    monitor: Monitor,
    check: Check,
    before: Result | None,
    quiet: timedelta,
    touched_at: datetime,
    now: datetime,
) -> Decision:
    other = made.earlier.get(monitor.id)
    decision = reevaluation_policy.decide(
        made.seen_by(check),
        before,
        needs_labels=check.needs_labels,
        label_ratio=made.model.label_ratio,
        label_delay=made.model.label_delay,
        quiet=quiet,
        is_same_monitor=before is not None and _same_inputs(session, before, monitor, check, made.version),
        compared=None if other is None or other.is_pruned else other.there,
        touched_at=touched_at,
        now=now,
    )
    if made.flow is None or not data_flow.is_flow(check):
        return decision
    return _of_flow(decision, made.flow, monitor, before)


def _stays(before: Result, monitor: Monitor) -> bool:
    """Whether a result that can't be had again is worth keeping."""
    return before.state == ResultState.OK and before.monitor_revision == monitor.revision


def _of_flow(decision: Decision, counted: FlowStatistics, monitor: Monitor, before: Result | None) -> Decision:
    """The decision on a monitor on the flow: it costs next to nothing, so what moved is seen at once."""
    chosen = (monitor.additional_kwargs or {}).get("res_conf")
    awaited = counted.labels_due_at if flow.reads_labels(chosen) else None
    if awaited is not None and flow.flow_value(counted, chosen).state != ResultState.OK:
        return Decision(False, awaited)
    if before is not None and decision.again_at is not None and flow.has_changed(counted, chosen, before.metrics):
        return Decision(True, awaited)
    return Decision(decision.now, min((each for each in (decision.again_at, awaited) if each), default=None))


def _earlier(
    session: Session,
    version_id: int,
    window: Window,
    on_it: Sequence[tuple[Monitor, Check]],
    local: ZoneInfo,
    first: datetime,
) -> dict[int, ComparedWindow]:
    found: dict[int, ComparedWindow] = {}
    extents: dict[Window, Extent] = {}
    for monitor, check in on_it:
        if (earlier := compared(monitor, check, window, local)) is None:
            continue
        if earlier not in extents:
            extents[earlier] = sampling.extent(session, version_id, earlier.start, earlier.end)
        found[monitor.id] = ComparedWindow(earlier, extents[earlier], earlier.start < first)
    return found


def compared(monitor: Monitor, check: Check, window: Window, local: ZoneInfo) -> Window | None:
    """The earlier window that one is compared with; None where that is the reference, or nothing."""
    if (how := ComparedWith(monitor.compared_with)) is ComparedWith.REFERENCE or not check.needs_reference:
        return None
    return Comparison(WindowGrid(Frequency(monitor.frequency), monitor.aggregation_window), how).compared_window(
        window, local
    )


def is_answered(
    session: Session,
    version_id: int,
    window: Window,
    monitor_id: int,
    settings: Evaluate,
    now: datetime,
    kept: timedelta | None = None,
) -> bool:
    """Whether the newest result of a monitor is of all that is there now, and of the monitor as it is now; or stays."""
    on = plan(session, version_id, window, now, settings, now, only=monitor_id, kept=kept)
    if monitor_id in on.settled:
        return True
    last = results.newest_by_monitor(session, version_id, window, [monitor_id]).get(monitor_id)
    if last is None or last.state == ResultState.ERROR or not on.monitors:
        return False
    ((monitor, check),) = on.monitors
    is_same = _same_inputs(session, last, monitor, check, on.version)
    earlier = on.earlier.get(monitor_id)
    there = None if earlier is None or earlier.is_pruned else earlier.there
    return is_same and reevaluation_policy.is_up_to_date(last, on.seen_by(check), there, check.needs_labels)


def _same_inputs(session: Session, before: Any, monitor: Monitor, check: Check, version: Version) -> bool:
    """Whether a result is of the monitor as it is now, and of the version's reference where that takes part."""
    if before.monitor_revision != monitor.revision or before.reference_revision == version.reference_revision:
        return bool(before.monitor_revision == monitor.revision)
    if check.needs_reference:
        return monitor.compared_with != ComparedWith.REFERENCE
    return not baselines.dependent_rules(session, monitor.id)
