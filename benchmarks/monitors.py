"""Evaluation against its limit: the bare deepchecks calls on the same rows, already in memory.

python -m benchmarks.monitors
"""

import json
import random
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
from sqlalchemy import text

from benchmarks.stage import CLASSES, FEATURES, Stage, figure, rows, say, stage
from dcmon import evaluation, gathering, monitors, planning, reading, references, versions
from dcmon.bench import Bench
from dcmon.checks import defaults
from dcmon.checks.catalogue import entry
from dcmon.gathering import Kept
from dcmon.rows import Raw
from dcmon.settings import Evaluate
from dcmon.windows import Frequency, Window

ROWS, DAYS, RUNS = 5_000, 8, 5


def main() -> None:
    """Print the figures."""
    with stage() as on:
        model_id, version_id = on.new_version("watched")
        say(f"loading {DAYS} days of {ROWS} rows, with labels and a reference")
        _load(on, model_id, version_id)
        _eight_defaults(on, version_id)


def _load(on: Stage, model_id: int, version_id: int) -> None:
    for day in range(DAYS):
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


def _eight_defaults(on: Stage, version_id: int) -> None:
    bench, kept, settings = Bench(), Kept(), Evaluate()
    _evaluate(on, version_id, 0, settings, bench, kept)
    bare = _bare(on, version_id)
    bare()
    ours, limits = [], []
    for run in range(RUNS):
        say(f"eight default monitors on a window of {ROWS} rows: run {run + 1} of {RUNS}")
        ours.append(_cpu(lambda day=run + 1: _evaluate(on, version_id, day, settings, bench, kept)))  # type: ignore[misc]
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


def _evaluate(on: Stage, version_id: int, day: int, settings: Evaluate, bench: Bench, kept: Kept) -> None:
    """What the worker does for a window: plan, read once, run, store, judge."""
    start = datetime(2026, 3, day + 1, tzinfo=UTC)
    window, now = Window(start, start + timedelta(days=1)), datetime.now(UTC)
    with on.app.org(on.org, snapshot=True) as session:
        plan = planning.plan(session, version_id, window, now, settings, now)
        workload, known = gathering.gather(session, on.org, plan, settings.sample_size, kept)
    answers = [*known, *bench.run(workload)]
    assert [answer.value.state for answer in answers] == ["OK"] * 8, [answer.value for answer in answers]
    with on.app.org(on.org) as session:
        evaluation.store(session, on.org, plan, answers, None)


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
