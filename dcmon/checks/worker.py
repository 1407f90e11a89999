"""Run users' checks of a workload on its rows. Importing this module loads deepchecks."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import Any, NamedTuple

import pandas as pd

from dcmon import errors
from dcmon.checks.catalogue import CheckKind, for_config
from dcmon.checks.check_run import CheckSetup, compared_side, schema_for
from dcmon.checks.dataset_schema import CheckValue, DatasetSchema
from dcmon.checks.library import displays, suites
from dcmon.checks.library.runner import PreparedRows, prepare, run
from dcmon.checks.workload import CheckRequest, CheckResult, Output, Picture, RowsKey, Workload
from dcmon.states import ResultState
from dcmon.storage.categories import class_names
from dcmon.storage.column_blocks import ColumnarSample
from dcmon.storage.columns import LABEL, PREDICTION


@dataclass
class CachedRows:
    """Rows of a workload, and the same rows prepared for deepchecks, by the requested features."""

    sample: ColumnarSample
    schema: DatasetSchema
    _columns: dict[str, Any] = field(default_factory=dict)
    _prepared: dict[tuple[str, ...], PreparedRows] = field(default_factory=dict)

    def prepared(self, features: tuple[str, ...]) -> PreparedRows:
        """Return the rows with these features, ready for deepchecks.

        Raises InvalidInput for an unknown feature.
        """
        if features not in self._prepared:
            names = [name for name in self.sample.column_types if name in features or name not in self.schema.features]
            frame = pd.DataFrame({name: self._column(name) for name in names}, copy=False)
            self._prepared[features] = prepare(frame, self.schema, list(features), with_label=True)
        return self._prepared[features]

    def _column(self, name: str) -> Any:
        if name not in self._columns:
            column, classes = self.sample.column(name), self.schema.classes
            if classes and name in (LABEL, PREDICTION) and isinstance(column, list):
                names = class_names(classes)
                column = [names.get(value, value) for value in column]
            self._columns[name] = column
        return self._columns[name]

    @cached_property
    def n_labelled(self) -> int:
        """The number of rows with a label: checks that need labels read only these rows."""
        return int(pd.notna(self._column(LABEL)).sum())


class _ComputedValue(NamedTuple):
    """The value of a check, the number of rows that it was computed from, and pictures if they were asked for."""

    value: CheckValue
    n: int
    pictures: tuple[Picture, ...] = ()


class WorkloadRunner:
    """Run workloads one by one, and cache the rows of references.

    Cached rows stay until a workload names them in `evicted`.
    """

    def __init__(self) -> None:
        self._cache: dict[RowsKey, CachedRows | None] = {}

    def run(self, workload: Workload) -> Iterator[CheckResult]:
        """Yield the result of each request, in order, as soon as it is computed."""
        received = {
            key: None if sample is None else CachedRows(sample, workload.schema)
            for key, sample in workload.rows.items()
            if key not in self._cache
        }
        self._cache.update((key, rows) for key, rows in received.items() if key.is_cacheable)
        available = {**self._cache, **received}
        for key in workload.evicted:
            self._cache.pop(key, None)
        for request in workload.requests:
            started = time.perf_counter()
            current = available[request.current]
            compared = available[request.compared] if request.compared else None
            assert current is not None, "each request of a workload has rows"
            value, n, pictures = _run_request(workload.schema, request, current, compared)
            duration = timedelta(seconds=time.perf_counter() - started)
            yield CheckResult(
                request.monitor_id, value, n, duration, request.current.limit, request.is_baseline, pictures
            )


def _run_request(
    schema: DatasetSchema, request: CheckRequest, current: CachedRows, compared: CachedRows | None
) -> _ComputedValue:
    """Run the check of a request; the value is an ERROR if that fails."""
    try:
        if request.output == Output.SUITE:
            return _run_suite(schema, request, current, compared)
        kind = for_config(request.module_name, request.class_name)
        if request.output == Output.DISPLAY:
            display = displays.run(_setup(kind, schema, request), *_sides(request, current, compared))
            return _ComputedValue(display.value, len(current.sample), display.pictures)
        value = _run_check(kind, schema, request, current, compared)
        return _ComputedValue(value, current.n_labelled if kind.needs_labels else len(current.sample))
    except errors.InvalidInput as error:  # a feature that this version does not have, a check that is not installed
        return _ComputedValue(CheckValue(ResultState.ERROR, reason=str(error)), len(current.sample))


def _run_check(
    kind: CheckKind, schema: DatasetSchema, request: CheckRequest, current: CachedRows, compared: CachedRows | None
) -> CheckValue:
    return run(_setup(kind, schema, request), *_sides(request, current, compared))


def _run_suite(
    schema: DatasetSchema, request: CheckRequest, current: CachedRows, compared: CachedRows | None
) -> _ComputedValue:
    title, schema = str(request.params.get("title")), schema_for(schema, request)
    read = replace(schema, features={name: kind for name, kind in schema.features.items() if name in request.features})
    report = suites.run(title, read, *_sides(request, current, compared))
    return _ComputedValue(report.value, len(current.sample), report.pictures)


def _setup(kind: CheckKind, schema: DatasetSchema, request: CheckRequest) -> CheckSetup:
    choices = request.additional_kwargs or {}
    return CheckSetup(kind, request.params, choices, schema_for(schema, request), compared_side(request))


def _sides(
    request: CheckRequest, current: CachedRows, compared: CachedRows | None
) -> tuple[PreparedRows, PreparedRows | None]:
    return current.prepared(request.features), compared.prepared(request.features) if compared else None
