"""Count the alerts of the default monitors and rules in a year without change.

python -m benchmarks.noise [--rows 200 500 5000] [--days 365] [--models 2] [--categories 60]

The rows of each day and the reference come from one distribution: 15 numeric and 5 categorical features, 2 % nulls,
and a binary prediction that is right nine times in ten. Only the checks and the rules run, without a database.
"""

import argparse
import json
import warnings
from collections import Counter
from collections.abc import Hashable, Iterator
from datetime import UTC, datetime, timedelta

import numpy as np

from benchmarks.measurement import print_progress
from dcmon.alerting.rules import Condition
from dcmon.alerting.state_machine import Policy, find_spans
from dcmon.checks.dataset_schema import CheckValue, DatasetSchema
from dcmon.checks.defaults import DefaultCheck, for_task
from dcmon.checks.runner import CheckSetup, run
from dcmon.statistics.columns import ClassColumn, Column, CountedColumn, NumericColumn, Rows
from tests.helpers.observed_window import ObservedWindow

START, REFERENCE_ROWS, SEED = datetime(2026, 1, 1, tzinfo=UTC), 5_000, 2026
NUMBERS, CATEGORIES = [f"n{number}" for number in range(15)], [f"c{number}" for number in range(5)]
DEFAULT_CATEGORIES = 60  # of a feature; the rarest is in one of 280 rows
FEATURES = dict.fromkeys(NUMBERS, "numeric") | dict.fromkeys(CATEGORIES, "categorical")
CLASSES = ("0", "1")
SCHEMA = DatasetSchema("binary", FEATURES, list(CLASSES))
YEAR = 365


def main() -> None:
    """Print the alerts a year, by monitor, for each number of rows a day."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.noise", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[200, 500, 5000], help="rows a day")
    parser.add_argument("--days", type=int, default=YEAR)
    parser.add_argument("--categories", type=int, default=DEFAULT_CATEGORIES, help="of a feature, by Zipf's law")
    parser.add_argument("--models", type=int, default=2)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for rows in arguments.rows:
        counts = Counter[str]()
        for model in range(arguments.models):
            print_progress(f"{rows} rows a day: model {model + 1} of {arguments.models}, {arguments.days} days")
            generator = np.random.default_rng([SEED, rows, model])
            counts.update(_count_alerts(generator, rows, arguments.days, arguments.categories))
        years = arguments.models * arguments.days / YEAR
        by_monitor = {name: round(count / years, 1) for name, count in sorted(counts.items())}
        figure = {
            "figure": "alerts a model and year, pure noise", "value": round(counts.total() / years, 1),
            "unit": "alerts", "categories": arguments.categories,
            "rows_a_day": rows, "days": arguments.days, "models": arguments.models, "by_monitor": by_monitor,
        }  # fmt: skip
        print(json.dumps(figure), flush=True)


def _count_alerts(generator: np.random.Generator, rows: int, days: int, categories: int) -> Counter[str]:
    """Count the alerts of one model, by monitor."""
    reference = _draw_rows(generator, REFERENCE_ROWS, categories)
    checks = [check for check in for_task("binary") if check.monitor is not None and check.rule is not None]
    series: dict[str, list[ObservedWindow]] = {check.name: [] for check in checks}
    for day in range(days):
        current = _draw_rows(generator, rows, categories)
        for check in checks:
            series[check.name].append(_window(day, rows, _evaluate(check, current, reference)))
    return Counter({check.name: _count_fired(check, series[check.name]) for check in checks})


def _evaluate(check: DefaultCheck, current: Rows, reference: Rows) -> CheckValue:
    assert check.monitor is not None
    used_reference = reference if check.kind.needs_reference else None
    setup = CheckSetup(check.kind, check.params, check.monitor.additional_kwargs or {}, SCHEMA)
    return run(setup, current, used_reference)


def _window(day: int, rows: int, value: CheckValue) -> ObservedWindow:
    start = START + timedelta(days=day)
    return ObservedWindow(start, start + timedelta(days=1), value.state, value.metrics, value.entries, rows)


def _count_fired(check: DefaultCheck, windows: list[ObservedWindow]) -> int:
    assert check.rule is not None
    policy = Policy(Condition(check.rule.operator, check.rule.threshold), check.rule.severity)
    return sum(span.fired is not None for span in find_spans(windows, policy))


def _draw_rows(generator: np.random.Generator, count: int, categories: int) -> Rows:
    """Draw rows from the one distribution."""
    features = dict(_draw_features(generator, count, categories))
    probability = generator.beta(1, 4, count)
    predicted = (probability > 0.5).astype(int)
    is_right = generator.random(count) < 0.9
    labels = np.where(is_right, predicted, 1 - predicted)
    probabilities = np.column_stack((1 - probability, probability))
    return Rows(count, features, ClassColumn(labels, CLASSES), ClassColumn(predicted, CLASSES), probabilities)


def _draw_features(generator: np.random.Generator, count: int, categories: int) -> Iterator[tuple[str, Column]]:
    for index, name in enumerate(NUMBERS):
        values = generator.normal(index, 1 + index, count) if index % 2 else generator.lognormal(0, 1, count)
        yield name, NumericColumn(np.where(generator.random(count) < 0.02, np.nan, values))
    weights = 1 / np.arange(1, categories + 1)
    for name in CATEGORIES:
        values = generator.choice(categories, count, p=weights / weights.sum())
        is_null = generator.random(count) < 0.02
        counts = Counter[Hashable](f"{name} {value}" for value in values[~is_null])
        yield name, CountedColumn(counts, int(is_null.sum()))


if __name__ == "__main__":
    main()
