"""Run the checks of workloads: those of the catalogue in this process, users' own checks in a process of their own."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import NamedTuple

from cachetools import LRUCache

from dcmon import errors
from dcmon.checks import plugins, runner
from dcmon.checks.catalogue import CheckKind, for_config
from dcmon.checks.check_run import setup_for
from dcmon.checks.dataset_schema import CheckValue, DatasetSchema
from dcmon.checks.decoding import decode
from dcmon.checks.worker_pool import MAX_CACHED_REFERENCES, CheckWorker
from dcmon.checks.workload import CheckRequest, CheckResult, RowsKey, Workload
from dcmon.settings import Evaluate
from dcmon.states import ResultState
from dcmon.statistics.columns import Rows
from dcmon.storage.column_blocks import ColumnarSample


class _CachedRows(NamedTuple):
    """Decoded rows, and the packed rows that they were decoded from."""

    sample: ColumnarSample
    schema: DatasetSchema
    rows: Rows


class CheckEvaluator:
    """Run workloads one by one, and cache the decoded rows of references.

    The process for users' own checks is started for the first workload that has one.
    """

    def __init__(self, limits: Evaluate) -> None:
        self._limits = limits
        self._worker: CheckWorker | None = None
        self._references = LRUCache[RowsKey, _CachedRows](MAX_CACHED_REFERENCES)

    def run(self, workload: Workload, wait: Callable[[], None] = lambda: None) -> list[CheckResult]:
        """Return the result of each request, in order.

        `wait` is called between two checks, and twice a second while an own check runs; when it raises an exception,
        the process of the own check is ended.
        """
        results: dict[int, CheckResult] = {}
        own: list[int] = []
        decoded: dict[RowsKey, Rows] = {}
        for index, request in enumerate(workload.requests):
            try:
                kind = for_config(request.module_name, request.class_name)
            except errors.InvalidInput as error:  # a check that is not installed here
                results[index] = _error_result(workload, request, str(error))
                continue
            if kind.is_own:
                own.append(index)
                continue
            wait()
            results[index] = self._run_check(kind, workload, request, decoded)
        if own:
            own_workload = replace(workload, requests=[workload.requests[index] for index in own])
            results |= zip(own, self._own_worker().run(own_workload, wait), strict=True)
        return [results[index] for index in range(len(workload.requests))]

    def run_pictures(self, workload: Workload, wait: Callable[[], None] = lambda: None) -> list[CheckResult]:
        """Return the pictures of each request, which the process of own checks makes with deepchecks.

        `wait`: as for `run`. Raises LibraryMissing where deepchecks is not installed.
        """
        plugins.require_library()
        return self._own_worker().run(workload, wait)

    def _run_check(
        self, kind: CheckKind, workload: Workload, request: CheckRequest, decoded: dict[RowsKey, Rows]
    ) -> CheckResult:
        started = time.perf_counter()
        setup = setup_for(kind, workload.schema, request)
        current = self._rows(request.current, workload, decoded)
        compared = self._rows(request.compared, workload, decoded) if request.compared else None
        try:
            value = runner.run(setup, current, compared)
        except errors.InvalidInput as error:  # a feature that this version does not have
            return _error_result(workload, request, str(error))
        n = current.n_labelled if kind.needs_labels else len(current)
        duration = timedelta(seconds=time.perf_counter() - started)
        return CheckResult(request.monitor_id, value, n, duration, request.current.limit, request.is_baseline)

    def _rows(self, key: RowsKey, workload: Workload, decoded: dict[RowsKey, Rows]) -> Rows:
        """Return rows in columns, which are decoded once for all checks of a window; those of a reference for all."""
        sample = workload.rows[key]
        assert sample is not None, "each request of a workload has rows"
        if key in decoded:
            return decoded[key]
        cached = self._references.get(key)
        if cached is None or cached.sample is not sample or cached.schema != workload.schema:
            cached = _CachedRows(sample, workload.schema, decode(sample, workload.schema))
            if key.is_cacheable:
                self._references[key] = cached
        decoded[key] = cached.rows
        return cached.rows

    def _own_worker(self) -> CheckWorker:
        if self._worker is None:
            self._worker = CheckWorker(self._limits)
        return self._worker

    def __enter__(self) -> "CheckEvaluator":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._worker is not None:
            self._worker.end()


def _error_result(workload: Workload, request: CheckRequest, reason: str) -> CheckResult:
    sample = workload.rows.get(request.current)
    value = CheckValue(ResultState.ERROR, reason=reason)
    return CheckResult(request.monitor_id, value, len(sample) if sample else 0, is_baseline=request.is_baseline)
