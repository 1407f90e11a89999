"""Evaluation against its limit: the bare deepchecks calls on the same rows, already in memory; and the idle clockwork.

python -m benchmarks.monitors [eight] [many] [size] [idle] [latency]
"""

import json
import random
import sys
import threading
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import psutil
from sqlalchemy import text

from benchmarks.stage import CLASSES, FEATURES, Stage, figure, rows, say, stage
from dcmon import evaluation, gathering, models, monitors, planning, provision, reading, references, versions, wake
from dcmon.app import App
from dcmon.checks import defaults
from dcmon.checks.catalogue import entry
from dcmon.children import Child
from dcmon.gathering import Kept
from dcmon.jobs import evaluate, schedule
from dcmon.models import NewModel
from dcmon.monitors import NewMonitor
from dcmon.settings import Evaluate
from dcmon.undecoded import Raw
from dcmon.versions import NewVersion
from dcmon.windows import Frequency, Window

ROWS, DAYS, RUNS = 5_000, 8, 5


PEER = 125.0  # ms of CPU a (monitor, window) that the system before dcmon takes
MANY = 30  # daily windows
SIZES = (10_000, 1_000_000, 10_000_000)  # rows of a window
IDLE_ORGANIZATIONS, MONITORS = 2_000, 50
ARRIVALS = 100  # windows that are completed one by one


def main() -> None:
    """Print the figures that are named, or all."""
    figures = {"eight": _eight_defaults, "many": _many, "size": _sizes, "idle": _idle, "latency": _latency}
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
        on.app.ingestion.take_samples(on.org, version_id, [Raw(row) for row in shifted])
        on.app.ingestion.take_labels(on.org, model_id, [Raw(_label(row)) for row in batch])
    parsed = [json.loads(row) for row in rows(10**9, ROWS)]
    names = [*FEATURES, "_dc_prediction", "_dc_prediction_probabilities"]
    document = {
        "columns": [*names, "_dc_label"],
        "data": [[row[name] for name in names] + [random.Random(3).choice(CLASSES)] for row in parsed],
    }
    with on.app.org(on.org) as session:
        model, version = versions.get(session, version_id)
        references.take(session, model, version, json.dumps(document).encode())
        monitors.create_defaults(session, model, Frequency.DAY)
        session.execute(text("analyze"))


def _label(row: bytes) -> bytes:
    found = json.loads(row)
    return json.dumps({"_dc_sample_id": found["_dc_sample_id"], "_dc_label": found["_dc_prediction"]}).encode()


def _eight_defaults(on: Stage) -> None:
    version_id = _watched(on, DAYS)
    bare = _bare(on, version_id)
    bare()
    ours, limits = [], []
    with Child(Evaluate()) as child:
        kept = Kept()
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


def _spent(child: Child, work: Callable[[], object]) -> float:
    """The CPU of this process and of the child, in ms."""
    assert child.pid is not None
    process = psutil.Process(child.pid)
    before = sum(process.cpu_times()[:2])
    ours = _cpu(work)
    return ours + 1000 * (sum(process.cpu_times()[:2]) - before)


def _evaluate(on: Stage, version_id: int, day: int, child: Child, kept: Kept) -> None:
    """What the worker does for a window: plan, read once, run, store, judge."""
    start, settings = datetime(2026, 3, 1, tzinfo=UTC) + timedelta(days=day), Evaluate()
    window, now = Window(start, start + timedelta(days=1)), datetime.now(UTC)
    with on.app.org(on.org, snapshot=True) as session:
        plan = planning.plan(session, version_id, window, now, settings, now)
        workload, known = gathering.gather(session, on.org, plan, settings, kept)
    answers = [*known, *child.run(workload)]
    assert [answer.value.state for answer in answers] == ["OK"] * 8, [answer.value for answer in answers]
    with on.app.org(on.org) as session:
        evaluation.store(session, on.org, plan, answers, None)


def _many(on: Stage) -> None:
    version_id = _watched(on, MANY)
    with Child(Evaluate()) as child:
        kept = Kept()
        _evaluate(on, version_id, 0, child, kept)
        say(f"{MANY} daily windows of {ROWS} rows, eight monitors each")
        server = _server(on)
        ours = _spent(child, lambda: [_evaluate(on, version_id, day, child, kept) for day in range(1, MANY)])
        ours += 1000 * (_server(on) - server)
    each = ours / (MANY - 1) / 8
    figure("monitors.many.cpu", [each], "ms per (monitor, window), with PostgreSQL", "the peer, without it", [PEER])


def _server(on: Stage) -> float:
    """The CPU that PostgreSQL has taken, in seconds."""
    return sum(sum(each.cpu_times()[:2]) for each in on.server.children(recursive=True))


def _sizes(on: Stage) -> None:
    settings, found = Evaluate(), dict[int, float]()
    for size in SIZES:
        _, version_id = on.new_version(f"of {size}")
        say(f"a window of {size:,} rows")
        for first in range(0, size, 100_000):
            batch = rows(first, min(100_000, size - first), days=1)
            on.app.ingestion.take_samples(on.org, version_id, [Raw(row) for row in batch])
        start = datetime(2026, 3, 1, tzinfo=UTC)
        end = start + timedelta(days=1)
        with on.app.org(on.org) as session:
            session.execute(text("analyze"))
            model, version = versions.get(session, version_id)
            there = reading.extent(session, version_id, start, end)
            for _ in range(3):
                began = time.perf_counter()
                reading.fair_sheet(
                    session, model, version, start, end, settings.sample_size, list(FEATURES), there=there
                )
                found[size] = 1000 * (time.perf_counter() - began)
    for size in SIZES[1:]:
        figure(f"monitors.read.{size}", [found[size]], "ms", f"the same of {SIZES[0]:,} rows", [found[SIZES[0]]])


def _idle(on: Stage) -> None:
    for number in range(IDLE_ORGANIZATIONS):
        if number % 100 == 0:
            say(f"{number} of {IDLE_ORGANIZATIONS} organizations with {MONITORS} monitors")
        org = provision.create_organization(on.app.engine, f"idle{number}", f"o@idle{number}.example").organization
        with on.app.org(org) as session:
            model = models.create(session, NewModel("credit", "binary"))
            versions.create(session, model, NewVersion("v1", {"age": "numeric"}))
            check = monitors.provide_check(session, model, "PercentOfNulls")
            for each in range(MONITORS):
                monitors.create(session, check, NewMonitor(f"m{each}", Frequency.DAY))
    process = psutil.Process()
    schedule.sweep(on.app)
    before, took = process.memory_info().rss, list[float]()
    for _ in range(5):
        began = time.perf_counter()
        schedule.sweep(on.app)
        took.append(time.perf_counter() - began)
    figure("monitors.idle.round", took, f"s for all {IDLE_ORGANIZATIONS} organizations", "the limit", [2.0])
    around = schedule.Round(on.app)
    ticks = [1000 * _wall(around.turn) for _ in range(schedule.TURNS)]
    figure("monitors.idle.tick", ticks, "ms, one a second", "the limit", [2000.0])
    grown = (process.memory_info().rss - before) / 2**20
    figure("monitors.idle.memory", [grown], "MB more after six rounds", "flat", [1.0])
    with on.app.public() as session:
        wake.ring(session, on.org.id, wake.Work.evaluate)
    picks = []
    with on.app.public() as session:
        picks.append(1000 * _wall(lambda: wake.pick(session, wake.Work.evaluate, timedelta(seconds=10))))
    figure("monitors.idle.found", picks, "ms to pick the one that was rung", "the limit", [1000.0])


def _wall(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _latency(on: Stage) -> None:
    """From the row that completes a window, acknowledged, to the result."""
    model_id, version_id = on.new_version("watched")
    with on.app.org(on.org) as session:
        check = monitors.provide_check(session, models.get(session, model_id), "PercentOfNulls")
        monitors.create(session, check, NewMonitor("Nulls", Frequency.HOUR))
    at_once = on.app.settings.model_copy(update={"evaluate": Evaluate(backfill_quiet=timedelta())})
    stop, waits = threading.Event(), list[float]()
    with App(at_once, on.app.output) as app:
        worker = threading.Thread(target=evaluate.run, args=(app, stop))
        worker.start()
        hours = [row.replace(b"2026-03-01T", b"2026-03-%02dT" % (day + 1)) for day in range(5) for row in
                 rows(day * 10**6, 24, days=1)]  # fmt: skip
        for number, row in enumerate(hours[:ARRIVALS]):
            on.app.ingestion.take_samples(on.org, version_id, [Raw(row)])
            began = time.perf_counter()
            while number and _results(on) < number and time.perf_counter() - began < 60:
                time.sleep(0.01)
            waits.append(time.perf_counter() - began)
        stop.set()
        worker.join()
    figure("monitors.latency.p99", [sorted(waits[5:])[-1]], "s, the longest of them", "the limit", [5.0])


def _results(on: Stage) -> int:
    with on.app.org(on.org) as session:
        return int(session.scalar(text("select count(*) from results")) or 0)


def _bare(on: Stage, version_id: int) -> Callable[[], None]:
    """The library alone: Datasets are built and checks are run as a notebook would do it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from deepchecks.tabular import Dataset
        from deepchecks.tabular import checks as library

    with on.app.org(on.org) as session:
        model, version = versions.get(session, version_id)
        start = datetime(2026, 3, 7, tzinfo=UTC)
        current = reading.fair_sample(session, model, version, start, start + timedelta(days=1), ROWS)
        reference = references.fair_sample(session, model, version, ROWS)
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
                kind = entry(default.kind.module_name, default.kind.class_name)
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
