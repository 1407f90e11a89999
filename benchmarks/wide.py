"""Measure a window of 5,000 rows with 1,000 numeric features beside one with 20: python -m benchmarks.wide"""

import json
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from benchmarks.installation import Installation, temporary_installation
from benchmarks.measurement import measure, print_figure, print_progress
from dcmon.alerting.change_context import ChangeContext
from dcmon.checks.evaluator import CheckEvaluator
from dcmon.ingestion.raw_rows import Raw
from dcmon.monitoring import default_monitors, evaluation, lifecycle
from dcmon.monitoring.planner import PlanRequest
from dcmon.monitoring.reference_cache import ReferenceCache
from dcmon.settings import Evaluate
from dcmon.storage import models, sampling, versions
from dcmon.storage.models import NewModel
from dcmon.storage.sampling import RowSelection
from dcmon.storage.versions import NewVersion
from dcmon.windows import Frequency, Window

NARROW, WIDE = 20, 1_000  # numeric features
ROWS, RUNS = 5_000, 5
START = datetime(2026, 3, 1, tzinfo=UTC)
LIMIT = "the same with 20 features"


def main() -> None:
    """Print the CPU time of ingestion, of reading and of evaluation, PostgreSQL counted."""
    with temporary_installation() as installation:
        versions_by_width = {width: _create_version(installation, width) for width in (NARROW, WIDE)}
        ingest_ms = {width: _ingest(installation, version, width) for width, version in versions_by_width.items()}
        read_ms = {width: _read(installation, version, width) for width, version in versions_by_width.items()}
        evaluate_ms = {width: _evaluate(installation, version) for width, version in versions_by_width.items()}
    _print("wide.ingest", "ms per 5,000 rows", ingest_ms)
    _print("wide.read", "ms per 5,000 rows, decoding included", read_ms)
    _print("wide.evaluate", "ms per window of the default monitors", evaluate_ms)


def _print(name: str, unit: str, values: Mapping[int, Sequence[float]]) -> None:
    print_figure(name, values[WIDE], unit, LIMIT, values[NARROW])


def _features(width: int) -> dict[str, str]:
    return {f"feature_{number}": "numeric" for number in range(width)}


def _create_version(installation: Installation, width: int) -> int:
    with installation.app.org(installation.org) as session:
        model = models.create(session, NewModel(f"of {width}", "binary"))
        version_id = versions.create(session, model, NewVersion("v1", _features(width), classes=["0", "1"])).id
        default_monitors.create_defaults(session, model, Frequency.DAY)
        return version_id


def _rows(day: int, width: int) -> list[dict[str, object]]:
    generator = random.Random(f"rows of day {day}")
    return [
        {
            "_dc_sample_id": f"{day}/{number}",
            "_dc_time": (START + timedelta(days=day, seconds=10 * number)).isoformat(),
            "_dc_prediction": str(number % 2),
            **{name: generator.gauss(0, 1) for name in _features(width)},
        }
        for number in range(ROWS)
    ]


def _ingest(installation: Installation, version_id: int, width: int) -> list[float]:
    """Store a reference and a window for each run, and one to warm up."""
    print_progress(f"loading {RUNS + 1} days of {ROWS} rows with {width} features")
    reference = [{**row, "_dc_label": row["_dc_prediction"]} for row in _rows(-1, width)]
    names = [name for name in reference[0] if name not in ("_dc_sample_id", "_dc_time")]
    document = json.dumps({"columns": names, "data": [[row[name] for name in names] for row in reference]})
    with installation.app.org(installation.org) as session:
        lifecycle.append_reference(session, *versions.get(session, version_id), document.encode())
    costs = []
    for day in range(RUNS + 1):
        rows = [Raw(json.dumps(row).encode()) for row in _rows(day, width)]
        batches = [rows[first : first + 1_000] for first in range(0, ROWS, 1_000)]
        ingestion, org = installation.app.ingestion, installation.org
        cost = measure(
            lambda: [ingestion.ingest_samples(org, version_id, batch) for batch in batches],  # noqa: B023
            installation.server,
        )
        costs.append(1000 * cost.cpu)
    with installation.app.org(installation.org) as session:
        session.execute(text("analyze"))
    return costs[1:]


def _window(day: int) -> Window:
    return Window(START + timedelta(days=day), START + timedelta(days=day + 1))


def _read(installation: Installation, version_id: int, width: int) -> list[float]:
    """Read and decode all features of a window."""

    def read(day: int) -> None:
        with installation.app.org(installation.org) as session:
            selection = RowSelection(*versions.get(session, version_id), limit=ROWS)
            sample = sampling.sample_columns(session, _window(day), selection, list(_features(width)))
        assert sample is not None
        for name in sample.column_types:
            sample.column(name)

    read(0)
    print_progress(f"reading {ROWS} rows with {width} features")
    return [1000 * measure(lambda: read(day), installation.server).cpu for day in range(1, RUNS + 1)]  # noqa: B023


def _evaluate(installation: Installation, version_id: int) -> list[float]:
    """Evaluate windows as the evaluate worker does: plan, read once, run checks, store, judge."""
    settings, cache = Evaluate(), ReferenceCache()

    def evaluate(day: int) -> None:
        now = datetime.now(UTC)
        with installation.app.org(installation.org, snapshot=True) as session:
            request = PlanRequest(version_id, _window(day), now, now)
            plan, workload, known_results = evaluation.prepare(session, installation.org, request, settings, cache)
        check_results = [*known_results, *evaluator.run(workload)]
        with installation.app.org(installation.org) as session:
            evaluation.store(session, plan, check_results, ChangeContext(installation.org))

    with CheckEvaluator(settings) as evaluator:
        evaluate(0)
        print_progress(f"evaluating {RUNS} windows")
        return [1000 * measure(lambda: evaluate(day), installation.server).cpu for day in range(1, RUNS + 1)]  # noqa: B023


if __name__ == "__main__":
    main()
