"""How many alerts a new model gives in a year in which nothing is wrong: the default monitors with their default rules.

python -m benchmarks.noise [--rows 200 500 5000] [--days 365] [--models 2] [--categories 60]

Rows are drawn from one distribution, day by day, and compared with a reference of it by the checks themselves: 15
numbers, 5 categorical features, 2 % nulls, a binary prediction that is right nine times in ten.
"""

import argparse
import json
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.stage import say
from dcmon.alerting.rules import Condition
from dcmon.alerting.state_machine import Policy, find_spans
from dcmon.checks.dataset_schema import CheckValue, DatasetSchema
from dcmon.checks.defaults import DefaultCheck, for_task
from dcmon.checks.runner import CheckSetup, PreparedRows, prepare, run

START, REFERENCE, SEED = datetime(2026, 1, 1, tzinfo=UTC), 5_000, 2026
NUMBERS, CATEGORIES = [f"n{number}" for number in range(15)], [f"c{number}" for number in range(5)]
CATEGORIES_OF_EACH = 60  # if nothing else is said; the rarest is in one of 280 rows
FEATURES = dict.fromkeys(NUMBERS, "numeric") | dict.fromkeys(CATEGORIES, "categorical")
LAYOUT = DatasetSchema("binary", FEATURES, ["0", "1"])
YEAR = 365


@dataclass(frozen=True)
class Window:
    """A day's result of a monitor, as rules see it."""

    window_start: datetime
    window_end: datetime
    state: str
    metrics: dict[str, float]
    n: int
    entries: dict[str, float]


def main() -> None:
    """One line for each number of rows, by monitor."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.noise", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[200, 500, 5000], help="rows of a day")
    parser.add_argument("--days", type=int, default=YEAR)
    parser.add_argument("--categories", type=int, default=CATEGORIES_OF_EACH, help="of a feature, by Zipf's law")
    parser.add_argument("--models", type=int, default=2)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    for rows in given.rows:
        counts = Counter[str]()
        for model in range(given.models):
            say(f"{rows} rows a day: model {model + 1} of {given.models}, {given.days} days")
            counts.update(_alerts(np.random.default_rng([SEED, rows, model]), rows, given.days, given.categories))
        years = given.models * given.days / YEAR
        of = {name: round(count / years, 1) for name, count in sorted(counts.items())}
        line = {
            "figure": "alerts a model and year, pure noise", "value": round(counts.total() / years, 1),
            "unit": "alerts", "categories": given.categories,
            "rows_a_day": rows, "days": given.days, "models": given.models, "by_monitor": of,
        }  # fmt: skip
        print(json.dumps(line), flush=True)


def _alerts(chance: np.random.Generator, rows: int, days: int, categories: int) -> Counter[str]:
    """The alerts of one model, by monitor."""
    reference = _prepared(_drawn(chance, REFERENCE, categories))
    watched = [check for check in for_task("binary") if check.monitor is not None and check.rule is not None]
    series: dict[str, list[Window]] = {check.name: [] for check in watched}
    for day in range(days):
        current = _prepared(_drawn(chance, rows, categories))
        for check in watched:
            series[check.name].append(_window(day, rows, _value(check, current, reference)))
    return Counter({check.name: _fired(check, series[check.name]) for check in watched})


def _value(check: DefaultCheck, current: PreparedRows, reference: PreparedRows) -> CheckValue:
    assert check.monitor is not None
    compared = reference if check.kind.needs_reference else None
    return run(CheckSetup(check.kind, check.params, check.monitor.additional_kwargs or {}, LAYOUT), current, compared)


def _window(day: int, rows: int, value: CheckValue) -> Window:
    at = START + timedelta(days=day)
    return Window(at, at + timedelta(days=1), value.state, value.metrics, rows, value.entries)


def _fired(check: DefaultCheck, windows: list[Window]) -> int:
    assert check.rule is not None
    policy = Policy(Condition(check.rule.operator, check.rule.threshold), check.rule.severity)
    return sum(span.fired is not None for span in find_spans(windows, policy))


def _prepared(rows: pd.DataFrame) -> PreparedRows:
    return prepare(rows, LAYOUT, list(FEATURES), with_label=True)


def _drawn(chance: np.random.Generator, count: int, categories: int) -> pd.DataFrame:
    """Rows of the one distribution that there is."""
    columns = dict(_columns(chance, count, categories))
    probability = chance.beta(1, 4, count)
    predicted = np.where(probability > 0.5, "1", "0")
    is_right = chance.random(count) < 0.9
    columns["_dc_prediction"] = predicted
    columns["_dc_prediction_probabilities"] = [[1 - each, each] for each in probability]
    columns["_dc_label"] = np.where(is_right, predicted, np.where(predicted == "1", "0", "1"))
    return pd.DataFrame(columns)


def _columns(chance: np.random.Generator, count: int, categories: int) -> Iterator[tuple[str, Any]]:
    for place, name in enumerate(NUMBERS):
        values = chance.normal(place, 1 + place, count) if place % 2 else chance.lognormal(0, 1, count)
        yield name, np.where(chance.random(count) < 0.02, np.nan, values)
    weights = 1 / np.arange(1, categories + 1)
    for name in CATEGORIES:
        drawn = chance.choice(categories, count, p=weights / weights.sum())
        yield (
            name,
            [
                None if empty else f"{name} {each}"
                for each, empty in zip(drawn, chance.random(count) < 0.02, strict=True)
            ],
        )


if __name__ == "__main__":
    main()
