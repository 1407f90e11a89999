"""Measure evaluation beside its limit: bare deepchecks calls on the same rows, already in memory.

python -m benchmarks.monitors [eight] [many] [size]     (SIZES=10000,1000000: a shorter `size`)
"""

import json
import os
import random
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import pandas as pd
from sqlalchemy import text

from benchmarks.installation import Installation, temporary_installation
from benchmarks.measurement import print_figure, print_progress, seconds_of
from benchmarks.sample_rows import CLASSES, FEATURES, START, make_rows
from dcmon.alerting.change_context import ChangeContext
from dcmon.checks import defaults
from dcmon.checks.catalogue import for_config
from dcmon.checks.evaluator import CheckEvaluator
from dcmon.ingestion.raw_rows import Raw
from dcmon.monitoring import default_monitors, evaluation, lifecycle
from dcmon.monitoring.planner import PlanRequest
from dcmon.monitoring.reference_cache import ReferenceCache
from dcmon.settings import Evaluate
from dcmon.states import ResultState
from dcmon.storage import references, sampling, versions
from dcmon.storage.sampling import RowSelection
from dcmon.windows import Frequency, Window

ROWS, DAYS, RUNS = 5_000, 8, 5
FORMER_CPU, FORMER_TASK_CPU = 125.0, 271.0  # ms a (monitor, window) in the system before dcmon; with PostgreSQL
FORMER_SYSTEM = "the system before dcmon"
BARE = "bare deepchecks, rows in memory"
MANY_DAYS = 30  # daily windows
SIZES = [int(size) for size in os.environ.get("SIZES", "10000,1000000,10000000").split(",")]  # rows of a window
PATTERNS = 10_000  # different rows; they repeat with new ids and times


def main() -> None:
    """Print the figures named on the command line, or all."""
    benchmarks = {"eight": _measure_default_monitors, "many": _measure_many_windows, "size": _measure_sizes}
    for name in sys.argv[1:] or benchmarks:
        with temporary_installation() as installation:
            benchmarks[name](installation)


def _create_monitored_version(installation: Installation, days: int) -> int:
    model_id, version_id = installation.create_version("watched")
    print_progress(f"loading {days} days of {ROWS} rows, with labels and a reference")
    _load_days(installation, model_id, version_id, days)
    return version_id


def _load_days(installation: Installation, model_id: int, version_id: int, days: int) -> None:
    for day in range(days):
        batch = make_rows(day * ROWS, ROWS, days=1)
        shifted = [row.replace(b"2026-03-01", f"2026-03-{day + 1:02d}".encode()) for row in batch]
        installation.app.ingestion.ingest_samples(installation.org, version_id, [Raw(row) for row in shifted])
        installation.app.ingestion.ingest_labels(installation.org, model_id, [Raw(_label(row)) for row in batch])
    _add_reference_and_monitors(installation, version_id)


def _add_reference_and_monitors(installation: Installation, version_id: int) -> None:
    """Give the version a reference, and its model the eight default monitors."""
    with installation.app.org(installation.org) as session:
        model, version = versions.get(session, version_id)
        lifecycle.append_reference(session, model, version, _reference())
        default_monitors.create_defaults(session, model, Frequency.DAY)
        session.execute(text("analyze"))


def _reference() -> bytes:
    parsed, classes = [json.loads(row) for row in make_rows(10**9, ROWS)], random.Random(3)
    names = [*FEATURES, "_dc_prediction", "_dc_prediction_probabilities"]
    document = {
        "columns": [*names, "_dc_label"],
        "data": [[row[name] for name in names] + [classes.choice(CLASSES)] for row in parsed],
    }
    return json.dumps(document).encode()


def _label(row: bytes) -> bytes:
    sample = json.loads(row)
    return json.dumps({"_dc_sample_id": sample["_dc_sample_id"], "_dc_label": sample["_dc_prediction"]}).encode()


def _measure_default_monitors(installation: Installation) -> None:
    version_id = _create_monitored_version(installation, DAYS)
    run_bare_checks = _bare_checks(installation, version_id)
    run_bare_checks()
    dcmon_ms, bare_ms = [], []
    with CheckEvaluator(Evaluate()) as evaluator:
        cache = ReferenceCache()
        _evaluate(installation, version_id, 0, evaluator, cache)
        for run in range(RUNS):
            print_progress(f"eight default monitors on a window of {ROWS} rows: run {run + 1} of {RUNS}")
            evaluate = partial(_evaluate, installation, version_id, run + 1, evaluator, cache)
            dcmon_ms.append(_cpu_ms(evaluate))
            bare_ms.append(_cpu_ms(run_bare_checks))
    print_figure("monitors.eight.cpu", dcmon_ms, "ms per window, PostgreSQL not counted", BARE, bare_ms)
    each_dcmon_ms, each_bare_ms = [cpu_ms / 8 for cpu_ms in dcmon_ms], [cpu_ms / 8 for cpu_ms in bare_ms]
    print_figure("monitors.one.cpu", each_dcmon_ms, "ms per (monitor, window)", BARE, each_bare_ms)


def _cpu_ms(work: Callable[[], object]) -> float:
    started_at = time.process_time()
    work()
    return 1000 * (time.process_time() - started_at)


def _evaluate(
    installation: Installation, version_id: int, day: int, evaluator: CheckEvaluator, cache: ReferenceCache
) -> None:
    """Evaluate a window as the evaluate worker does: plan, read once, run checks, store, judge."""
    start, settings = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=day), Evaluate()
    window, now = Window(start, start + timedelta(days=1)), datetime.now(UTC)
    with installation.app.org(installation.org, snapshot=True) as session:
        request = PlanRequest(version_id, window, now, now)
        plan, workload, known_results = evaluation.prepare(session, installation.org, request, settings, cache)
    check_results = [*known_results, *evaluator.run(workload)]
    assert {result.value.state for result in check_results} == {ResultState.OK}, [
        result.value for result in check_results
    ]
    with installation.app.org(installation.org) as session:
        evaluation.store(session, plan, check_results, ChangeContext(installation.org))


def _measure_many_windows(installation: Installation) -> None:
    version_id = _create_monitored_version(installation, MANY_DAYS)
    with CheckEvaluator(Evaluate()) as evaluator:
        cache = ReferenceCache()
        _evaluate(installation, version_id, 0, evaluator, cache)
        print_progress(f"{MANY_DAYS} daily windows of {ROWS} rows, eight monitors each")
        server_before = _server_cpu(installation)
        days = range(1, MANY_DAYS)
        dcmon_ms = _cpu_ms(lambda: [_evaluate(installation, version_id, day, evaluator, cache) for day in days])
        server_ms = 1000 * (_server_cpu(installation) - server_before)
    results, all_ms = len(days) * 8, dcmon_ms + server_ms
    unit, as_task = "ms per (monitor, window)", f"{FORMER_SYSTEM}, as a task"
    print_figure(
        "monitors.many.cpu", [dcmon_ms / results], f"{unit}, PostgreSQL not counted", FORMER_SYSTEM, [FORMER_CPU]
    )
    print_figure("monitors.many.all", [all_ms / results], f"{unit}, with PostgreSQL", as_task, [FORMER_TASK_CPU])


def _server_cpu(installation: Installation) -> float:
    """Return the CPU time that PostgreSQL has used so far, in seconds."""
    return sum(sum(process.cpu_times()[:2]) for process in installation.server.children(recursive=True))


def _measure_sizes(installation: Installation) -> None:
    """Measure the eight default monitors on a window of each size, with reading and storing."""
    window_ms, read_ms = dict[int, list[float]](), dict[int, list[float]]()
    for size in SIZES:
        model_id, version_id = installation.create_version(f"{size} rows")
        _load_window(installation, model_id, version_id, size)
        _add_reference_and_monitors(installation, version_id)
        with installation.app.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("vacuum analyze"))
        read_ms[size] = [_read_ms(installation, version_id) for _ in range(RUNS)]
        window_ms[size] = _evaluation_ms(installation, version_id)
    for size in SIZES[1:]:
        limit_name = f"the same of {SIZES[0]:,} rows"
        print_figure(f"monitors.read.{size}", read_ms[size], "ms", limit_name, read_ms[SIZES[0]])
        print_figure(f"monitors.window.{size}", window_ms[size], "ms, eight monitors", limit_name, window_ms[SIZES[0]])


def _evaluation_ms(installation: Installation, version_id: int) -> list[float]:
    """Evaluate the window RUNS times; return the elapsed times in ms.

    One evaluation before them fills the caches, and is not counted.
    """
    cache, elapsed_ms = ReferenceCache(), list[float]()
    with CheckEvaluator(Evaluate()) as evaluator:
        for _ in range(RUNS + 1):
            with installation.app.org(installation.org) as session:
                session.execute(text("delete from results"))
            elapsed_ms.append(1000 * seconds_of(lambda: _evaluate(installation, version_id, 0, evaluator, cache)))
    return elapsed_ms[1:]


def _load_window(installation: Installation, model_id: int, version_id: int, size: int) -> None:
    """Load a day of `size` rows with their labels, in random order of time."""
    patterns, step = make_rows(0, PATTERNS, days=1), timedelta(days=1) / size
    positions = random.Random(5).sample(range(size), size)
    for first in range(0, size, 100_000):
        print_progress(f"a window of {size:,} rows: {first:,}")
        numbers = range(first, min(size, first + 100_000))
        batch = [_with_id_and_time(patterns[n % PATTERNS], n, START + step * positions[n]) for n in numbers]
        installation.app.ingestion.ingest_samples(installation.org, version_id, batch)
        labels = [b'{"_dc_sample_id": "sample-%012d", "_dc_label": "%s"}' % (n, b"abc"[n % 3 :][:1]) for n in numbers]
        installation.app.ingestion.ingest_labels(installation.org, model_id, [Raw(label) for label in labels])


def _with_id_and_time(row: bytes, number: int, at: datetime) -> Raw:
    """Return the row with another id and another time."""
    features = row[row.index(b', "n0"') :]
    return Raw(b'{"_dc_sample_id": "sample-%012d", "_dc_time": "%s"' % (number, at.isoformat().encode()) + features)


def _read_ms(installation: Installation, version_id: int) -> float:
    """Return how long reading the deterministic sample takes, in ms."""
    start, end, size = START, START + timedelta(days=1), Evaluate().sample_size
    with installation.app.org(installation.org) as session:
        model, version = versions.get(session, version_id)
        statistics = sampling.window_statistics(session, version_id, start, end)
        return 1000 * seconds_of(
            lambda: sampling.sample_columns(
                session, Window(start, end), RowSelection(model, version, size), list(FEATURES), statistics=statistics
            )
        )


def _bare_checks(installation: Installation, version_id: int) -> Callable[[], None]:
    """Return a function that runs the checks with deepchecks alone, as a notebook does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from deepchecks.tabular import checks as library

    current, reference = _window_and_reference(installation, version_id)
    current_output, reference_output = _output(current), _output(reference)

    def work() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            datasets = {
                has_labels: [_dataset(frame, has_labels) for frame in (current, reference)]
                for has_labels in (False, True)
            }
            for default in defaults.for_task("multiclass"):
                if default.monitor is None:
                    continue
                kind = for_config(default.kind.module_name, default.kind.class_name)
                test, train = datasets[kind.needs_labels]
                check = getattr(library, kind.implementation)(**default.params, n_samples=None)
                options = {"model_classes": CLASSES, "with_display": False}
                if kind.needs_reference:
                    options |= {"y_pred_train": reference_output.classes, "y_pred_test": current_output.classes}
                    options |= {"y_proba_train": reference_output.probabilities}
                    options |= {"y_proba_test": current_output.probabilities}
                    check.run(train, test, **options).reduce_output()
                else:
                    options |= {"y_pred": current_output.classes, "y_proba": current_output.probabilities}
                    check.run(test, **options).reduce_output()

    return work


def _window_and_reference(installation: Installation, version_id: int) -> list[pd.DataFrame]:
    """Read the rows of a window, and those of the reference."""
    with installation.app.org(installation.org) as session:
        selection = RowSelection(*versions.get(session, version_id), ROWS)
        start = datetime(2026, 3, 7, tzinfo=UTC)
        current = sampling.sample_rows(session, Window(start, start + timedelta(days=1)), selection)
        reference = references.sample_rows(session, selection)
    return [pd.DataFrame(sample.rows, columns=sample.names) for sample in (current, reference)]


class _ModelOutput(NamedTuple):
    """The predicted classes of rows, and their probabilities."""

    classes: Any
    probabilities: Any


def _output(frame: pd.DataFrame) -> _ModelOutput:
    probabilities = pd.DataFrame(frame["_dc_prediction_probabilities"].tolist()).to_numpy()
    return _ModelOutput(frame["_dc_prediction"].to_numpy(), probabilities)


def _dataset(frame: pd.DataFrame, has_labels: bool) -> Any:
    from deepchecks.tabular import Dataset

    columns = frame[[*FEATURES]].assign(**({"label": frame["_dc_label"]} if has_labels else {}))
    categories = [name for name, kind in FEATURES.items() if kind == "categorical"]
    return Dataset(columns, label="label" if has_labels else None, cat_features=categories, label_type="multiclass")


if __name__ == "__main__":
    main()
