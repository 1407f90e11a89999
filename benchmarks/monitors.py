"""Measure evaluation beside its limit: bare deepchecks calls on the same rows, already in memory.

python -m benchmarks.monitors [eight] [nine] [many] [size]     (SIZES=10000,1000000: a shorter `size`)
"""

import json
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import text

from benchmarks import earlier_figures
from benchmarks.bare_checks import bare_checks
from benchmarks.installation import Installation, temporary_installation
from benchmarks.measurement import print_figure, print_progress, seconds_of
from benchmarks.sample_rows import CLASSES, FEATURES, START, make_rows
from dcmon.alerting.change_context import ChangeContext
from dcmon.checks import defaults
from dcmon.checks.evaluator import CheckEvaluator
from dcmon.ingestion.raw_rows import Raw
from dcmon.monitoring import default_monitors, evaluation, lifecycle
from dcmon.monitoring.evaluation import PreparedWindow
from dcmon.monitoring.planner import PlanRequest
from dcmon.monitoring.reference_cache import ReferenceCache
from dcmon.settings import Evaluate
from dcmon.states import DefaultSet, ResultState
from dcmon.storage import sampling, versions
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
    benchmarks = {
        "eight": _measure_default_monitors,
        "nine": _measure_nine_checks,
        "many": _measure_many_windows,
        "size": _measure_sizes,
    }
    for name in sys.argv[1:] or benchmarks:
        with temporary_installation() as installation:
            benchmarks[name](installation)


def create_monitored_version(installation: Installation, days: int, chosen: DefaultSet = DefaultSet.SDK) -> int:
    """Return the id of a version with days of rows, labels, a reference and default monitors."""
    model_id, version_id = installation.create_version("watched")
    print_progress(f"loading {days} days of {ROWS} rows, with labels and a reference")
    _load_days(installation, model_id, version_id, days)
    _add_reference_and_monitors(installation, version_id, chosen)
    return version_id


def _load_days(installation: Installation, model_id: int, version_id: int, days: int) -> None:
    for day in range(days):
        batch = make_rows(day * ROWS, ROWS, days=1)
        shifted = [row.replace(b"2026-03-01", f"2026-03-{day + 1:02d}".encode()) for row in batch]
        installation.app.ingestion.ingest_samples(installation.org, version_id, [Raw(row) for row in shifted])
        installation.app.ingestion.ingest_labels(installation.org, model_id, [Raw(_label(row)) for row in batch])


def _add_reference_and_monitors(
    installation: Installation, version_id: int, chosen: DefaultSet = DefaultSet.SDK
) -> None:
    """Give the version a reference, and its model default monitors: by default the eight of the SDK."""
    with installation.app.org(installation.org) as session:
        model, version = versions.get(session, version_id)
        lifecycle.append_reference(session, model, version, _reference())
        default_monitors.create_defaults(session, model, Frequency.DAY, chosen)
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
    """Measure a window of the SDK's eight default monitors, from its plan to the stored results."""
    version_id = create_monitored_version(installation, DAYS)
    checks = [default for default in defaults.for_task("multiclass") if default.monitor is not None]
    run_bare_checks = bare_checks(installation, version_id, checks, ROWS)
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


def _measure_nine_checks(installation: Installation) -> None:
    """Measure the SDK's nine default checks on packed rows, decoding included, without a database."""
    version_id = create_monitored_version(installation, DAYS)
    checks = defaults.for_task("multiclass")
    run_bare_checks = bare_checks(installation, version_id, checks, ROWS)
    workload = _prepare(installation, version_id, 6, ReferenceCache()).workload
    known = {request.class_name: request for request in workload.requests}
    without_monitor = [default.kind for default in checks if default.kind.class_name not in known]
    labels = known["LabelDrift"]
    more = [replace(labels, module_name=kind.module_name, class_name=kind.class_name) for kind in without_monitor]
    nine = replace(workload, requests=[*workload.requests, *more])
    assert len(nine.requests) == len(checks) == 9
    with CheckEvaluator(Evaluate()) as evaluator:
        evaluator.run(nine)  # decodes the reference, as the first window of a worker does
        run_bare_checks()
        dcmon_ms = [_cpu_ms(partial(evaluator.run, nine)) for _ in range(RUNS)]
        bare_ms = [_cpu_ms(run_bare_checks) for _ in range(RUNS)]
    print_figure("monitors.nine.cpu", dcmon_ms, "ms for nine checks, decoding included", BARE, bare_ms)


def _cpu_ms(work: Callable[[], object]) -> float:
    started_at = time.process_time()
    work()
    return 1000 * (time.process_time() - started_at)


def _prepare(installation: Installation, version_id: int, day: int, cache: ReferenceCache) -> PreparedWindow:
    """Plan the window of a day, and read its rows."""
    start, now = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=day), datetime.now(UTC)
    request = PlanRequest(version_id, Window(start, start + timedelta(days=1)), now, now)
    with installation.app.org(installation.org, snapshot=True) as session:
        return evaluation.prepare(session, installation.org, request, Evaluate(), cache)


def _evaluate(
    installation: Installation, version_id: int, day: int, evaluator: CheckEvaluator, cache: ReferenceCache
) -> None:
    """Evaluate a window as the evaluate worker does: plan, read once, run checks, store, judge."""
    plan, workload, known_results = _prepare(installation, version_id, day, cache)
    check_results = [*known_results, *evaluator.run(workload)]
    assert {result.value.state for result in check_results} == {ResultState.OK}, [
        result.value for result in check_results
    ]
    with installation.app.org(installation.org) as session:
        evaluation.store(session, plan, check_results, ChangeContext(installation.org))


def _measure_many_windows(installation: Installation) -> None:
    version_id = create_monitored_version(installation, MANY_DAYS)
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
    earlier = earlier_figures.scaled("monitors.many.all")
    print_figure("monitors.many.earlier", [all_ms / results], f"{unit}, with PostgreSQL", earlier.name, [earlier.value])


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


if __name__ == "__main__":
    main()
