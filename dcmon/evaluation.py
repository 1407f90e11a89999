"""Evaluating a window of a version: plan, read once for all monitors on it, run the checks, store and judge.

`dcmon worker start evaluate` and `dcmon monitor run` call the same functions. Importing this module loads deepchecks.
"""

import json
import time
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from dcmon import alerts, db, errors, reading, references, results
from dcmon.checks.catalogue import entry
from dcmon.checks.layout import Layout, Value, chosen_features
from dcmon.checks.run import Prepared, dataset, run
from dcmon.columns import LABEL
from dcmon.db import Organization
from dcmon.reading import Extent, Sample
from dcmon.settings import Evaluate
from dcmon.tables.org import Check, Model, Monitor, Result, Version
from dcmon.windows import Frequency, Shape, Window, floor, step, zone

KEPT_REFERENCES = 16
RARE = 0.05  # two classes of which one is rarer than this are weighed alike, as the system before dcmon did


@dataclass(frozen=True)
class Plan:
    """What is to be evaluated in a window of a version, and when to look at the rest again."""

    model: Model
    version: Version
    window: Window
    there: Extent
    monitors: Sequence[tuple[Monitor, Check]]
    again_at: datetime | None = None


@dataclass(frozen=True)
class Finding:
    """What a monitor found: the value, from how many rows, in which time."""

    monitor: Monitor
    value: Value
    n: int
    duration: timedelta


@dataclass(frozen=True)
class Reference:
    """A reference made ready, kept from window to window."""

    rows: Prepared
    balance_classes: bool


class References:
    """The references used last, by organization, version, revision and what was asked of them."""

    def __init__(self) -> None:
        self._kept: OrderedDict[object, Reference | None] = OrderedDict()

    def get(self, session: Session, org: Organization, plan: Plan, group: "Group", limit: int) -> Reference | None:
        """The fair sample of a version's reference; None when it has none."""
        version = plan.version
        key = (org.id, version.id, version.reference_revision, group, limit)
        if key not in self._kept:
            self._kept[key] = _reference(session, plan, group, limit) if version.reference_revision else None
            while len(self._kept) > KEPT_REFERENCES:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


@dataclass(frozen=True)
class Group:
    """Monitors that read the same rows: same filters, labelled rows only or not, these features."""

    filters: str
    labelled: bool
    features: tuple[str, ...]

    @property
    def data_filters(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = json.loads(self.filters)
        return found


def plan(
    session: Session,
    version_id: int,
    window: Window,
    touched_at: datetime,
    settings: Evaluate,
    now: datetime,
    only: int | None = None,
) -> Plan:
    """Which monitors are evaluated now. `only`: this monitor, whether or not anything is new."""
    version = session.get_one(Version, version_id)
    model = session.get_one(Model, version.model_id)
    local = zone(model.time_zone)
    on_it = [
        (monitor, check)
        for monitor, check in results.monitors_of(session, model)
        if only in (None, monitor.id)
        and Shape(Frequency(monitor.frequency), monitor.aggregation_window).is_shape_of(window, local)
    ]
    there = reading.extent(session, version_id, window.start, window.end)
    last = results.latest(session, version_id, window, [monitor.id for monitor, _ in on_it])
    chosen, waits = [], []
    for monitor, check in on_it:
        before = last.get(monitor.id)
        verdict = results.verdict(
            there,
            before,
            needs_labels=check.needs_labels,
            label_ratio=model.label_ratio,
            label_delay=model.label_delay,
            quiet=settings.label_quiet,
            is_same_monitor=before is not None and _same_inputs(before, monitor, version),
            touched_at=touched_at,
            now=now,
        )
        if verdict.now or only is not None:
            chosen.append((monitor, check))
        elif verdict.again_at is not None:
            waits.append(verdict.again_at)
    return Plan(model, version, window, there, chosen, min(waits, default=None))


def _same_inputs(before: Any, monitor: Monitor, version: Version) -> bool:
    return bool(before.monitor_revision == monitor.revision and before.reference_revision == version.reference_revision)


def compute(session: Session, org: Organization, plan: Plan, settings: Evaluate, kept: References) -> list[Finding]:
    """Run the checks of a plan; rows are read once for all monitors that read the same."""
    groups: dict[Group, list[tuple[Monitor, Check]]] = {}
    for monitor, check in plan.monitors:
        groups.setdefault(_group(plan, monitor, check, settings.sample_size), []).append((monitor, check))
    found = []
    for group, members in groups.items():
        found += _compute_group(session, org, plan, group, members, settings.sample_size, kept)
    return found


def _group(plan: Plan, monitor: Monitor, check: Check, limit: int) -> Group:
    # While the whole window fits into the sample, labelled and unlabelled monitors read the same rows.
    labelled = check.needs_labels and plan.there.n > limit
    filters = json.dumps(monitor.data_filters) if (monitor.data_filters or {}).get("filters") else "null"
    conf = (monitor.additional_kwargs or {}).get("check_conf")
    features = chosen_features(_layout(plan), conf) + [
        name for name in _listed(check.params.get("columns")) if name in plan.version.features
    ]
    return Group(filters, labelled, tuple(dict.fromkeys(features)))


def _compute_group(
    session: Session,
    org: Organization,
    plan: Plan,
    group: Group,
    members: Sequence[tuple[Monitor, Check]],
    limit: int,
    kept: References,
) -> list[Finding]:
    try:
        sample = reading.fair_sample(
            session, plan.model, plan.version, plan.window.start, plan.window.end, limit,
            labelled=group.labelled, filters=group.data_filters, there=plan.there,
        )  # fmt: skip
        current = _prepared(sample, plan, group) if sample.rows else None
    except errors.InvalidInput as error:  # a filter or a feature that this version does not have
        value = Value("ERROR", reason=str(error))
        return [Finding(monitor, value, 0, timedelta()) for monitor, _ in members]
    found = []
    for monitor, check in members:
        began = time.perf_counter()
        value = _value(session, org, plan, group, monitor, check, current, limit, kept)
        found.append(Finding(monitor, value, len(sample.rows), timedelta(seconds=time.perf_counter() - began)))
    return found


def _value(
    session: Session,
    org: Organization,
    plan: Plan,
    group: Group,
    monitor: Monitor,
    check: Check,
    current: Prepared | None,
    limit: int,
    kept: References,
) -> Value:
    if current is None:
        return Value("NO_DATA", reason="The window has no rows." if not plan.there.n else "No row fits the filters.")
    reference = kept.get(session, org, plan, replace(group, labelled=check.needs_labels), limit)
    layout = replace(_layout(plan), balance_classes=reference is not None and reference.balance_classes)
    return run(
        entry(check.module_name, check.class_name),
        check.params,
        monitor.additional_kwargs,
        layout,
        current,
        reference.rows if reference else None,
    )


def _reference(session: Session, plan: Plan, group: Group, limit: int) -> Reference | None:
    sample = references.fair_sample(
        session, plan.model, plan.version, limit, labelled=group.labelled, filters=group.data_filters
    )
    if not sample.rows:
        return None
    return Reference(_prepared(sample, plan, group), _is_unbalanced(sample))


def _is_unbalanced(sample: Sample) -> bool:
    position = sample.names.index(LABEL)
    classes = Counter(row[position] for row in sample.rows if row[position] is not None)
    return len(classes) == 2 and min(classes.values()) <= RARE * sum(classes.values())


def _prepared(sample: Sample, plan: Plan, group: Group) -> Prepared:
    frame = pd.DataFrame(list(sample.rows), columns=list(sample.names))
    return dataset(frame, _layout(plan), list(group.features), with_label=True)


def _layout(plan: Plan) -> Layout:
    version = plan.version
    return Layout(plan.model.task_type, version.features, version.classes, version.feature_importance)


def _listed(value: Any) -> list[str]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [str(value)]


def failed(plan: Plan, reason: str) -> list[Finding]:
    """An ERROR for each monitor of a plan: the window can't be evaluated."""
    return [Finding(monitor, Value("ERROR", reason=reason), 0, timedelta()) for monitor, _ in plan.monitors]


def store(
    session: Session, org: Organization, plan: Plan, findings: Sequence[Finding], public_url: str | None
) -> Mapping[str, int]:
    """Store what was found, judge the rules, move alerts, write notifications: in the session's transaction."""
    stored = notified = 0
    for finding in findings:
        result = results.put(
            session, finding.monitor, plan.version.id, plan.window, finding.value, plan.there, finding.n,
            plan.version.reference_revision, finding.duration,
        )  # fmt: skip
        if result is not None:
            stored += 1
            notified += alerts.judge(session, org, result, public_url)
    return {"results": stored, "notifications": notified}


def run_monitor(
    engine: Engine,
    org: Organization,
    monitor_id: int,
    span: tuple[datetime | None, datetime | None],
    settings: Evaluate,
    public_url: str | None,
) -> list[Result]:
    """Evaluate a monitor's windows now, whether or not they are due, and store and judge what was found.

    `span`: windows that end after the first and not after the second; without both, the newest complete window of each
    version. Returns the newest result of each window, in order. Without `public_url` nobody is notified.
    """
    with db.org_session(engine, org) as session:
        wanted = _windows(session, monitor_id, span)
    kept, found = References(), []
    for version_id, window in wanted:
        with db.org_session(engine, org, snapshot=True) as session:
            now = datetime.now(UTC)
            planned = plan(session, version_id, window, now, settings, now, only=monitor_id)
            findings = compute(session, org, planned, settings, kept)
        with db.org_session(engine, org) as session:
            store(session, org, planned, findings, public_url)
            found.append(results.latest(session, version_id, window, [monitor_id])[monitor_id])
    return found


def _windows(
    session: Session, monitor_id: int, span: tuple[datetime | None, datetime | None]
) -> list[tuple[int, Window]]:
    monitor = session.get_one(Monitor, monitor_id)
    check = session.get_one(Check, monitor.check_id)
    model = session.get_one(Model, check.model_id)
    shape, local = Shape(Frequency(monitor.frequency), monitor.aggregation_window), zone(model.time_zone)
    after, until = span
    found = []
    for version in session.scalars(select(Version).where(Version.model_id == model.id, Version.watermark.is_not(None))):
        assert version.watermark is not None
        assert version.earliest is not None
        end = floor(min(until or version.watermark, version.watermark), shape.frequency, local)
        while end > version.earliest and (after is None or end > after):
            found.append((version.id, shape.ending(end, local)))
            if after is None:
                break
            end = step(end, shape.frequency, -1, local)
    return sorted(found, key=lambda each: (each[1].end, each[0]))
