"""Evaluation against its limit: the bare deepchecks calls on the same rows, already in memory.

python -m benchmarks.monitors [eight] [many] [size]     (SIZES=10000,1000000 for a shorter size)
"""

import json
import os
import random
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import psutil
from sqlalchemy import text

from benchmarks.stage import CLASSES, FEATURES, START, Stage, figure, rows, say, stage
from dcmon.alerting.change_context import ChangeContext
from dcmon.checks import defaults
from dcmon.checks.catalogue import for_config
from dcmon.checks.worker_pool import CheckWorker
from dcmon.ingestion.raw_rows import Raw
from dcmon.monitoring import default_monitors, evaluation, lifecycle, planner, row_loader
from dcmon.monitoring.planner import PlanRequest
from dcmon.monitoring.reference_cache import ReferenceCache
from dcmon.settings import Evaluate
from dcmon.storage import references, sampling, versions
from dcmon.storage.sampling import RowSelection
from dcmon.windows import Frequency, Window

ROWS, DAYS, RUNS = 5_000, 8, 5
PEER, PEER_TASK = 125.0, 271.0  # ms of CPU a (monitor, window) that the system before dcmon takes; with PostgreSQL
MANY = 30  # daily windows
SIZES = [int(size) for size in os.environ.get("SIZES", "10000,1000000,10000000").split(",")]  # rows of a window
PATTERNS = 10_000  # rows whose ids and times are made new again and again


def main() -> None:
    """Print the figures that are named, or all."""
    figures = {"eight": _eight_defaults, "many": _many, "size": _sizes}
    for name in sys.argv[1:] or figures:
        with stage() as on:
            figures[name](on)


def _watched(on: Stage, days: int) -> int:
    model_id, version_id = on.new_version("watched")
    say(f"loading {days} days of {ROWS} rows, with labels and a reference")
    _load(on, model_id, version_id, days)
    return version_id


def _load(on: Stage, model_id: int, version_id: int, days: int) -> None:
    for day in range(days):
        batch = rows(day * ROWS, ROWS, days=1)
        shifted = [row.replace(b"2026-03-01", f"2026-03-{day + 1:02d}".encode()) for row in batch]
        on.app.ingestion.ingest_samples(on.org, version_id, [Raw(row) for row in shifted])
        on.app.ingestion.ingest_labels(on.org, model_id, [Raw(_label(row)) for row in batch])
    _watch(on, version_id)


def _watch(on: Stage, version_id: int) -> None:
    """A reference, and the eight default monitors."""
    with on.app.org(on.org) as session:
        model, version = versions.get(session, version_id)
        lifecycle.append_reference(session, model, version, _reference())
        default_monitors.create_defaults(session, model, Frequency.DAY)
        session.execute(text("analyze"))


def _reference() -> bytes:
    parsed, classes = [json.loads(row) for row in rows(10**9, ROWS)], random.Random(3)
    names = [*FEATURES, "_dc_prediction", "_dc_prediction_probabilities"]
    document = {
        "columns": [*names, "_dc_label"],
        "data": [[row[name] for name in names] + [classes.choice(CLASSES)] for row in parsed],
    }
    return json.dumps(document).encode()


def _label(row: bytes) -> bytes:
    found = json.loads(row)
    return json.dumps({"_dc_sample_id": found["_dc_sample_id"], "_dc_label": found["_dc_prediction"]}).encode()


def _eight_defaults(on: Stage) -> None:
    version_id = _watched(on, DAYS)
    bare = _bare(on, version_id)
    bare()
    ours, limits = [], []
    with CheckWorker(Evaluate()) as child:
        kept = ReferenceCache()
        _evaluate(on, version_id, 0, child, kept)
        for run in range(RUNS):
            say(f"eight default monitors on a window of {ROWS} rows: run {run + 1} of {RUNS}")
            ours.append(_spent(child, lambda day=run + 1: _evaluate(on, version_id, day, child, kept)))  # type: ignore[misc]
            limits.append(_cpu(bare))
    figure(
        "monitors.eight.cpu", ours, "ms per window, PostgreSQL not counted", "bare deepchecks, rows in memory", limits
    )
    each = [spent / 8 for spent in ours]
    figure(
        "monitors.one.cpu", each, "ms per (monitor, window)", "bare deepchecks, rows in memory", [x / 8 for x in limits]
    )


def _cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return 1000 * (time.process_time() - began)


def _spent(child: CheckWorker, work: Callable[[], object]) -> float:
    """The CPU of this process and of the child, in ms."""
    assert child.pid is not None
    process = psutil.Process(child.pid)
    before = sum(process.cpu_times()[:2])
    ours = _cpu(work)
    return ours + 1000 * (sum(process.cpu_times()[:2]) - before)


def _evaluate(on: Stage, version_id: int, day: int, child: CheckWorker, kept: ReferenceCache) -> None:
    """What the worker does for a window: plan, read once, run, store, judge."""
    start, settings = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=day), Evaluate()
    window, now = Window(start, start + timedelta(days=1)), datetime.now(UTC)
    with on.app.org(on.org, snapshot=True) as session:
        plan = planner.plan(session, PlanRequest(version_id, window, now, now), settings)
        workload, known = row_loader.build_workload(session, on.org, plan, settings, kept)
    answers = [*known, *child.run(workload)]
    assert {answer.value.state for answer in answers} == {"OK"}, [answer.value for answer in answers]
    with on.app.org(on.org) as session:
        evaluation.store(session, plan, answers, ChangeContext(on.org))


def _many(on: Stage) -> None:
    version_id = _watched(on, MANY)
    with CheckWorker(Evaluate()) as child:
        kept = ReferenceCache()
        _evaluate(on, version_id, 0, child, kept)
        say(f"{MANY} daily windows of {ROWS} rows, eight monitors each")
        server = _server(on)
        ours = _spent(child, lambda: [_evaluate(on, version_id, day, child, kept) for day in range(1, MANY)])
        theirs = 1000 * (_server(on) - server)
    one = (MANY - 1) * 8
    figure("monitors.many.cpu", [ours / one], "ms per (monitor, window), PostgreSQL not counted", "the peer", [PEER])
    figure(
        "monitors.many.all", [(ours + theirs) / one], "ms of these with PostgreSQL", "the peer, as a task", [PEER_TASK]
    )


def _server(on: Stage) -> float:
    """The CPU that PostgreSQL has taken, in seconds."""
    return sum(sum(each.cpu_times()[:2]) for each in on.server.children(recursive=True))


def _sizes(on: Stage) -> None:
    """The eight defaults on one window of so many rows, all labelled: from its plan to the stored results."""
    walls, reads = dict[int, list[float]](), dict[int, list[float]]()
    for size in SIZES:
        model_id, version_id = on.new_version(f"of {size}")
        _fill(on, model_id, version_id, size)
        _watch(on, version_id)
        with on.app.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.execute(text("vacuum analyze"))
        reads[size] = [_read(on, version_id) for _ in range(RUNS)]
        walls[size] = _evaluations(on, version_id)
    for size in SIZES[1:]:
        against = f"the same of {SIZES[0]:,} rows"
        figure(f"monitors.read.{size}", reads[size], "ms", against, reads[SIZES[0]])
        figure(f"monitors.window.{size}", walls[size], "ms, eight monitors", against, walls[SIZES[0]])


def _evaluations(on: Stage, version_id: int) -> list[float]:
    """How long the window takes, again and again, in ms."""
    kept, walls = ReferenceCache(), list[float]()
    with CheckWorker(Evaluate()) as child:
        for _ in range(RUNS + 1):
            with on.app.org(on.org) as session:
                session.execute(text("delete from results"))
            walls.append(_wall(lambda: _evaluate(on, version_id, 0, child, kept)))
    return walls[1:]


def _fill(on: Stage, model_id: int, version_id: int, size: int) -> None:
    """A day of so many rows with their labels, in no order."""
    patterns, step = rows(0, PATTERNS, days=1), timedelta(days=1) / size
    moments = random.Random(5).sample(range(size), size)
    for first in range(0, size, 100_000):
        say(f"a window of {size:,} rows: {first:,}")
        these = range(first, min(size, first + 100_000))
        batch = [_renewed(patterns[n % PATTERNS], n, START + step * moments[n]) for n in these]
        on.app.ingestion.ingest_samples(on.org, version_id, batch)
        labels = [b'{"_dc_sample_id": "sample-%012d", "_dc_label": "%s"}' % (n, b"abc"[n % 3 :][:1]) for n in these]
        on.app.ingestion.ingest_labels(on.org, model_id, [Raw(label) for label in labels])


def _renewed(row: bytes, number: int, at: datetime) -> Raw:
    """The row under another id, at another time."""
    rest = row[row.index(b', "n0"') :]
    return Raw(b'{"_dc_sample_id": "sample-%012d", "_dc_time": "%s"' % (number, at.isoformat().encode()) + rest)


def _read(on: Stage, version_id: int) -> float:
    """The read alone, in ms."""
    start, end, size = START, START + timedelta(days=1), Evaluate().sample_size
    with on.app.org(on.org) as session:
        model, version = versions.get(session, version_id)
        statistics = sampling.window_statistics(session, version_id, start, end)
        return _wall(
            lambda: sampling.sample_columns(
                session, Window(start, end), RowSelection(model, version, size), list(FEATURES), statistics=statistics
            )
        )


def _wall(work: Callable[[], object]) -> float:
    """How long it takes, in ms."""
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


def _bare(on: Stage, version_id: int) -> Callable[[], None]:
    """The library alone: Datasets are built and checks are run as a notebook would do it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from deepchecks.tabular import Dataset
        from deepchecks.tabular import checks as library

    with on.app.org(on.org) as session:
        model, version = versions.get(session, version_id)
        start = datetime(2026, 3, 7, tzinfo=UTC)
        current = sampling.sample_rows(
            session, Window(start, start + timedelta(days=1)), RowSelection(model, version, ROWS)
        )
        reference = references.sample_rows(session, RowSelection(model, version, ROWS))
    frames = [pd.DataFrame(sample.rows, columns=sample.names) for sample in (current, reference)]

    def dataset(frame: pd.DataFrame, labelled: bool) -> Any:
        own = frame[[*FEATURES]].assign(**({"label": frame["_dc_label"]} if labelled else {}))
        categories = [name for name, kind in FEATURES.items() if kind == "categorical"]
        return Dataset(own, label="label" if labelled else None, cat_features=categories, label_type="multiclass")

    def outputs(frame: pd.DataFrame) -> tuple[Any, Any]:
        return frame["_dc_prediction"].to_numpy(), pd.DataFrame(
            frame["_dc_prediction_probabilities"].tolist()
        ).to_numpy()

    (now_pred, now_proba), (ref_pred, ref_proba) = map(outputs, frames)

    def work() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sides = {labelled: [dataset(frame, labelled) for frame in frames] for labelled in (False, True)}
            for default in defaults.for_task("multiclass"):
                if default.monitor is None:
                    continue
                kind = for_config(default.kind.module_name, default.kind.class_name)
                now, ref = sides[kind.needs_labels]
                check = getattr(library, kind.implementation)(**default.params, n_samples=None)
                given = {"model_classes": CLASSES, "with_display": False}
                if kind.needs_reference:
                    given |= {"y_pred_train": ref_pred, "y_proba_train": ref_proba}
                    check.run(ref, now, y_pred_test=now_pred, y_proba_test=now_proba, **given).reduce_output()
                else:
                    check.run(now, y_pred=now_pred, y_proba=now_proba, **given).reduce_output()

    return work


if __name__ == "__main__":
    main()
