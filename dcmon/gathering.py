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

from dcmon import baselines, errors, reading, references
from dcmon.checks import reasons
from dcmon.checks.layout import Layout, Value, chosen_features
from dcmon.db import Organization
from dcmon.planning import Plan
from dcmon.tables.org import Check, Monitor
from dcmon.windows import Window
from dcmon.workload import Answer, Ask, Key, Sample, Workload


class Kept:
    """The rows of references that were read last: each serves many windows."""

    def __init__(self, most: int = 16) -> None:
        self._most, self._lock = most, threading.Lock()
        self._rows: OrderedDict[Key, Sample | None] = OrderedDict()

    def get(self, key: Key, read: Callable[[Key], Sample | None]) -> Sample | None:
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


def gather(session: Session, org: Organization, plan: Plan, limit: int, kept: Kept) -> tuple[Workload, list[Answer]]:
    """The workload of a plan, and what is known without running a check: no rows, or rows that can't be read.

    Rows of references are taken from `kept` where it has them.
    """
    rows: dict[Key, Sample | None] = {}
    asks, known = list[Ask](), list[Answer]()
    read = partial(_read, session, plan)
    for monitor, check in plan.monitors:
        ask = _ask(org, plan, monitor, check, limit)
        try:
            for key in (ask.current, ask.compared):
                if key is not None and key not in rows:
                    rows[key] = kept.get(key, read)
        except errors.InvalidInput as error:  # a filter that this version has no column for
            known.append(Answer(monitor.id, Value("ERROR", reason=str(error))))
            continue
        if (why := _why_nothing(plan, ask, rows)) is not None:
            current = rows[ask.current]
            known.append(Answer(monitor.id, Value("NO_DATA", reason=why), len(current.rows) if current else 0))
        else:
            asks.append(ask)
    for monitor, check in baselines.missing(session, plan.version, plan.monitors):
        ask = _on_reference(_ask(org, plan, monitor, check, limit), check, plan.version.reference_revision)
        with suppress(errors.InvalidInput):  # a filter on a column that the reference has not
            rows[ask.current] = kept.get(ask.current, read)
            asks += [ask] if rows[ask.current] is not None else []
    return Workload(layout(plan), asks, rows), known


def _on_reference(ask: Ask, check: Check, revision: int) -> Ask:
    """The same check on the rows of the reference in place of the window's."""
    rows = replace(ask.current, window=None, reference_revision=revision, labelled=check.needs_labels)
    return replace(ask, current=rows, compared=None, is_baseline=True)


def _why_nothing(plan: Plan, ask: Ask, rows: Mapping[Key, Sample | None]) -> str | None:
    """Why there is nothing to run the check on; None when there is something, or the check is to say it."""
    if rows[ask.current] is None:
        return reasons.NO_ROWS if not plan.there.n else _why_none(ask.current, "window")
    compared = ask.compared
    if compared is None or rows[compared] is not None:
        return None
    if compared.window is None:
        return _why_none(compared, "reference")
    there = next(each.there for each in plan.earlier.values() if each.window == compared.window)
    which = f"earlier window, {_said(compared.window)},"
    if not there.n:
        return f"The {which} has no rows to compare with. {reasons.COMES_BY_ITSELF}"
    return _why_none(compared, which)


def _why_none(key: Key, where: str) -> str | None:
    """Why none of the rows was read; None when the reference has none at all, which the check says."""
    if key.filters != "null":
        return reasons.no_row_fits(where, labelled=key.labelled)
    return reasons.no_label(where) if key.labelled else None


def _said(window: Window) -> str:
    return f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC"


def layout(plan: Plan) -> Layout:
    """The columns of the plan's version, as checks are told about them."""
    version = plan.version
    return Layout(plan.model.task_type, version.features, version.classes, version.feature_importance)


def _ask(org: Organization, plan: Plan, monitor: Monitor, check: Check, limit: int) -> Ask:
    version, filters = plan.version, _filters(monitor.data_filters)
    # While the whole window fits into the sample, labelled and unlabelled monitors read the same rows.
    labelled = check.needs_labels and plan.there.n > limit
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


def _read(session: Session, plan: Plan, key: Key) -> Sample | None:
    """The fair sample that a key names; None when there is no row. Raises InvalidInput."""
    chosen: dict[str, Any] = {"labelled": key.labelled, "filters": json.loads(key.filters)}
    if key.window is None:
        found = references.fair_sample(session, plan.model, plan.version, key.limit, **chosen)
    else:
        start, end = key.window.start, key.window.end
        extents = {plan.window: plan.there} | {each.window: each.there for each in plan.earlier.values()}
        found = reading.fair_sample(
            session, plan.model, plan.version, start, end, key.limit, there=extents[key.window], **chosen
        )
    return found if found.rows else None
