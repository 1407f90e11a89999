"""Reading the rows of a planned window, once for all the monitors that read the same: what the parent does."""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.alerting import baselines
from dcmon.checks import data_flow, no_value_reasons
from dcmon.checks.dataset_schema import Layout, Value, chosen_features
from dcmon.checks.workload import Answer, Ask, Key, Workload
from dcmon.db import Organization
from dcmon.db.tables.org import Check, Monitor, Version
from dcmon.monitoring import flow_metrics
from dcmon.monitoring.planner import Plan
from dcmon.settings import Evaluate
from dcmon.states import ResultState
from dcmon.storage import references, sampling
from dcmon.storage.column_blocks import Sheet
from dcmon.windows import Window

WIDE = 100  # features: a version with more has only those read that are asked for


class ReferenceCache:
    """The rows of references that were read last: each serves many windows."""

    def __init__(self, most: int = 16) -> None:
        self._most, self._lock = most, threading.Lock()
        self._rows: OrderedDict[Key, Sheet | None] = OrderedDict()
        self._unbalanced: dict[tuple[int, int], tuple[int, bool]] = {}

    def get(self, key: Key, read: Callable[[Key], Sheet | None]) -> Sheet | None:
        """The rows of a key, read when they are not there."""
        if not key.is_lasting:
            return read(key)
        with self._lock:
            if key in self._rows:
                self._rows.move_to_end(key)
                return self._rows[key]
        found = read(key)
        with self._lock:
            self._rows[key] = found
            while len(self._rows) > self._most:
                self._rows.popitem(last=False)
        return found

    def is_unbalanced(self, session: Session, org: Organization, version: Version) -> bool:
        """Whether a class is rare in the version's reference, found once for each revision of it."""
        place, revision = (org.id, version.id), version.reference_revision
        if self._unbalanced.get(place, (None, False))[0] != revision:
            self._unbalanced[place] = revision, references.is_unbalanced(session, version)
        return self._unbalanced[place][1]


def build_workload(
    session: Session, org: Organization, plan: Plan, settings: Evaluate, kept: ReferenceCache
) -> tuple[Workload, list[Answer]]:
    """The workload of a plan, and what is known without running a check: no rows, or rows that can't be read.

    Rows of references are taken from `kept` where it has them.
    """
    rows: dict[Key, Sheet | None] = {}
    asks, known = list[Ask](), list[Answer]()
    read = partial(_read, session, plan, settings.memory // 4)
    for monitor, check in plan.monitors:
        if plan.flow is not None and data_flow.is_flow(check):
            counted = flow_metrics.flow_value(plan.flow, (monitor.additional_kwargs or {}).get("res_conf"))
            known.append(Answer(monitor.id, counted, plan.there.n))
    wanted = _asks(org, plan, settings.sample_size)
    for ask in wanted:
        try:
            for key in ask.keys:
                if key not in rows:
                    rows[key] = kept.get(key, read)
        except errors.InvalidInput as error:  # a filter that this version has no column for, or too many rows
            known.append(Answer(ask.monitor_id, Value(ResultState.ERROR, reason=str(error))))
            continue
        if (why := _why_nothing(plan, ask, rows)) is not None:
            current = rows[ask.current]
            known.append(Answer(ask.monitor_id, Value(ResultState.NO_DATA, reason=why), len(current) if current else 0))
        else:
            asks.append(ask)
    of_monitor = {ask.monitor_id: ask for ask in wanted}
    for monitor, check in baselines.missing(session, plan.version, plan.monitors):
        ask = _on_reference(of_monitor[monitor.id], check, plan.version.reference_revision)
        with suppress(errors.InvalidInput):  # a filter on a column that the reference has not
            rows[ask.current] = kept.get(ask.current, read)
            asks += [ask] if rows[ask.current] is not None else []
    balanced = plan.model.task_type != "regression" and kept.is_unbalanced(session, org, plan.version)
    return Workload(replace(layout(plan), balance_classes=balanced), asks, rows), known


def _asks(org: Organization, plan: Plan, limit: int) -> list[Ask]:
    """What the monitors of a plan ask; those that read the same rows have the same features read."""
    asks = [
        _ask(org, plan, monitor, check, row_limit(monitor, limit))
        for monitor, check in plan.monitors
        if not data_flow.is_flow(check)
    ]
    features = sorted(plan.version.features)
    if len(features) > WIDE:
        asked = {name for ask in asks for name in ask.features}
        features = [name for name in features if name in asked]
    return [ask.reading(tuple(features)) for ask in asks]


def _on_reference(ask: Ask, check: Check, revision: int) -> Ask:
    """The same check on the rows of the reference in place of the window's."""
    rows = replace(ask.current, window=None, reference_revision=revision, labelled=check.needs_labels)
    return replace(ask, current=rows, compared=None, is_baseline=True)


def _why_nothing(plan: Plan, ask: Ask, rows: Mapping[Key, Sheet | None]) -> str | None:
    """Why there is nothing to run the check on; None when there is something, or the check is to say it."""
    if rows[ask.current] is None:
        return no_value_reasons.NO_ROWS if not plan.there.n else _why_none(ask.current, "window")
    compared = ask.compared
    if compared is None:
        return None
    if compared.window is None:
        return None if rows[compared] is not None else _why_none(compared, "reference")
    earlier = next(each for each in plan.earlier.values() if each.window == compared.window)
    which = f"earlier window, {_said(compared.window)},"
    if earlier.is_pruned:
        return f"The {which} begins before the retention: its rows are pruned, so there is nothing to compare with."
    if rows[compared] is not None:
        return None
    if not earlier.there.n:
        return f"The {which} has no rows to compare with. {no_value_reasons.COMES_BY_ITSELF}"
    return _why_none(compared, which)


def _why_none(key: Key, where: str) -> str | None:
    """Why none of the rows was read; None when the reference has none at all, which the check says."""
    if key.filters != "null":
        return no_value_reasons.no_row_fits(where, labelled=key.labelled)
    return no_value_reasons.no_label(where) if key.labelled else None


def _said(window: Window) -> str:
    return f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC"


def layout(plan: Plan) -> Layout:
    """The columns of the plan's version, as checks are told about them."""
    version = plan.version
    return Layout(plan.model.task_type, version.features, version.classes, version.feature_importance)


def _ask(org: Organization, plan: Plan, monitor: Monitor, check: Check, limit: int | None) -> Ask:
    version, filters = plan.version, _filters(monitor.data_filters)
    # While the whole window fits into the sample, labelled and unlabelled monitors read the same rows.
    labelled = check.needs_labels and limit is not None and plan.there.n > limit
    current = Key(org.id, version.id, plan.window, 0, filters, labelled, limit)
    return Ask(
        monitor.id,
        check.module_name,
        check.class_name,
        check.params,
        monitor.additional_kwargs,
        _features(layout(plan), monitor, check),
        current,
        _compared(plan, monitor, check, current) if check.needs_reference else None,
    )


def row_limit(monitor: Monitor, usual: int) -> int | None:
    """How many rows a monitor reads at most; None: all of them."""
    return usual if monitor.rows is None else monitor.rows or None


def _compared(plan: Plan, monitor: Monitor, check: Check, current: Key) -> Key | None:
    """The rows that take the part of the reference; None when the version has none."""
    if (earlier := plan.earlier.get(monitor.id)) is not None:
        return replace(current, window=earlier.window, labelled=check.needs_labels)
    revision = plan.version.reference_revision
    reference = replace(current, window=None, reference_revision=revision, labelled=check.needs_labels)
    return reference if revision else None


def _filters(given: Mapping[str, Any] | None) -> str:
    return json.dumps(given) if (given or {}).get("filters") else "null"


def _features(columns: Layout, monitor: Monitor, check: Check) -> tuple[str, ...]:
    chosen = chosen_features(columns, (monitor.additional_kwargs or {}).get("check_conf"))
    listed = check.params.get("columns")
    more = [] if listed is None else listed if isinstance(listed, list | tuple) else [str(listed)]
    return tuple(dict.fromkeys([*chosen, *(name for name in more if name in columns.features)]))


def _read(session: Session, plan: Plan, most: int, key: Key) -> Sheet | None:
    """The rows that a key names; None when there is none. Raises InvalidInput."""
    chosen: dict[str, Any] = {"labelled": key.labelled, "filters": json.loads(key.filters), "most": most}
    about = (session, plan.model, plan.version)
    if key.window is None:
        return references.fair_sheet(*about, key.limit, key.features, **chosen)
    extents = {plan.window: plan.there} | {each.window: each.there for each in plan.earlier.values()}
    start, end = key.window.start, key.window.end
    return sampling.fair_sheet(*about, start, end, key.limit, key.features, there=extents[key.window], **chosen)
