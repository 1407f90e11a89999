"""Measure what the default monitors and rules find, and how often they are wrong.

python -m benchmarks.defaults faults [--features 8 30 100] [--rows 300 1000 5000] [--models 5]
python -m benchmarks.defaults healthy [--features 8 30] [--rows 300 1000] [--models 1]

faults: after ten healthy days a fault begins, and stays for two days. Counted are the models that alert within two
days, and name the feature. healthy: years without a fault, in several worlds; counted are the alerts a year of all
default rules of a model together. Only the checks and the rules run, without a database.
"""

import argparse
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from benchmarks.measurement import print_progress
from dcmon.alerting.condition_parser import parse
from dcmon.alerting.rule_conditions import Condition
from dcmon.alerting.state_machine import Policy, ViolationSpan, find_spans
from dcmon.checks import defaults, own_defaults
from dcmon.checks.check_run import CheckSetup
from dcmon.checks.dataset_schema import CheckValue, DatasetSchema
from dcmon.checks.kinds import CheckKind
from dcmon.checks.runner import run
from dcmon.monitoring.default_monitors import with_own_settings
from dcmon.states import ResultState
from dcmon.statistics.columns import ClassColumn, Column, CountedColumn, NumericColumn, Rows
from dcmon.windows import Frequency

START, YEAR, SEED = datetime(2026, 1, 5, tzinfo=UTC), 365, 2026
CLASSES = ("0", "1")
WEEKEND = np.array([0, 0, 0, 0, 0, 1, 1]) - 2 / 7  # the mean of a week is 0
HEALTHY_DAYS, FAULTY_DAYS = 10, 2
Table = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Window:
    """A day's result of a monitor, with the attributes that rules read."""

    window_start: datetime
    window_end: datetime
    state: str
    metrics: Mapping[str, float]
    n: int
    entries: Mapping[str, float]


@dataclass(frozen=True)
class World:
    """Where rows come from: three quarters of the features are numbers, the others categories.

    `correlation`: of all numbers. `season`: how far weekends are from weekdays, in standard deviations. `day_effect`:
    the standard deviation of a day's shift of each number. `categories`: of each feature, `zipf` by Zipf's law.
    `transform`: of the normal numbers. `reference_days`: the reference has so many days, in the order of time; 0 for
    rows of any day in any order.
    """

    name: str
    correlation: float = 0.0
    season: float = 0.0
    day_effect: float = 0.0
    categories: int = 8
    zipf: float = 0.0
    weekend_rows: float = 1.0
    transform: Callable[[NDArray[np.float64], np.random.Generator], NDArray[np.float64]] = field(
        default=lambda values, _: values
    )
    reference_days: int = 0


def _with_zeros(values: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    return np.where(generator.random(values.shape) < 0.6, 0, np.abs(values))


WORLDS = (
    World("normal"),
    World("correlated numbers", correlation=0.5),
    World("2,000 categories, Zipf", categories=2000, zipf=1),
    World("2,000 equal categories", categories=2000),
    World("skewed numbers", transform=lambda values, _: np.exp(1.5 * values)),
    World("integers", transform=lambda values, _: np.round(2 * values)),
    World("60 % zeros", transform=_with_zeros),
    World("day effect 0.05", day_effect=0.05),
    World("weekly season 0.3", season=0.3, weekend_rows=0.5),
    World("weekly season 1", season=1, weekend_rows=0.5),
    World("weekly season 0.5, correlated", season=0.5, correlation=0.5, weekend_rows=0.5),
    World("weekly season 1, ordered reference", season=1, weekend_rows=0.5, reference_days=60),
    World("day effect 0.5, ordered reference", day_effect=0.5, reference_days=60),
    World("day effect 1, ordered reference", day_effect=1, reference_days=60),
)


class Model:
    """A binary model with a reference and daily windows of one world."""

    def __init__(self, world: World, n_features: int, generator: np.random.Generator, *, importance: bool) -> None:
        self.world, self.generator = world, generator
        n_categorical = max(1, n_features // 4)
        self.numbers = [f"n{index}" for index in range(n_features - n_categorical)]
        self.categorical = [f"c{index}" for index in range(n_categorical)]
        names = self.numbers + self.categorical
        types = dict.fromkeys(self.numbers, "numeric") | dict.fromkeys(self.categorical, "categorical")
        weights = dict.fromkeys(names, 1 / n_features) if importance else None
        self.schema = DatasetSchema("binary", types, list(CLASSES), weights)
        shares = 1 / np.arange(1, world.categories + 1) ** world.zipf
        self._cumulative = np.cumsum(shares / shares.sum())
        self._loads = generator.uniform(0.5, 1, len(self.numbers)) * generator.choice([-1, 1], len(self.numbers))

    def draw(self, n: int, day: int | None) -> Table:
        """Draw rows of a day; None: of the reference, which has all days of the week."""
        world, generator = self.world, self.generator
        values = generator.standard_normal((n, len(self.numbers)))
        common = generator.standard_normal((n, 1))
        values = math.sqrt(1 - world.correlation) * values + math.sqrt(world.correlation) * common
        weekend = WEEKEND[generator.integers(0, 7, n) if day is None else np.full(n, day % 7)]
        values += world.season * weekend[:, None] * self._loads
        if day is not None:
            values += world.day_effect * generator.standard_normal(len(self.numbers))
        values = world.transform(values, generator)
        uniform = generator.random((n, len(self.categorical))) ** np.exp(world.season / 2 * weekend)[:, None]
        codes = np.minimum(np.searchsorted(self._cumulative, uniform), world.categories - 1).astype(float)
        probability = generator.beta(2, 5, n)
        return {
            **dict(zip(self.numbers, values.T, strict=True)),
            **dict(zip(self.categorical, codes.T, strict=True)),
            "probability": probability,
            "label": (generator.random(n) < probability).astype(float),
        }

    def rows(self, table: Table) -> Rows:
        """Return a table as columns."""
        features: dict[str, Column] = {
            **{name: NumericColumn(table[name]) for name in self.numbers},
            **{name: _counted(table[name]) for name in self.categorical},
        }
        probability = table["probability"]
        predicted = ClassColumn((probability > 0.5).astype(np.int64), CLASSES)
        labels = ClassColumn(table["label"].astype(np.int64), CLASSES)
        return Rows(len(probability), features, labels, predicted, np.column_stack((1 - probability, probability)))


def _counted(codes: NDArray[np.float64]) -> CountedColumn:
    present = codes[~np.isnan(codes)]
    names = {code: f"v{code:.0f}" for code in np.unique(present)}
    positions = np.where(np.isnan(codes), -1, np.searchsorted(list(names), codes))
    in_order = ClassColumn(positions.astype(np.int64), tuple(names.values()))
    return CountedColumn(in_order.counts(), len(codes) - len(present), lambda: in_order)


@dataclass(frozen=True)
class Fault:
    """A fault of the rows of a day, and what an alert must name: the entry, or the metric."""

    name: str
    break_rows: Callable[[Table, np.random.Generator], None]
    names: tuple[str, ...] = ("n0",)


def _set(name: str, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Callable[..., None]:
    def break_rows(table: Table, _: np.random.Generator) -> None:
        table[name] = change(table[name])

    return break_rows


def _half_null(table: Table, generator: np.random.Generator) -> None:
    table["n0"] = np.where(generator.random(len(table["n0"])) < 0.5, np.nan, table["n0"])


def _shift_all(table: Table, _: np.random.Generator) -> None:
    for name in table:
        if name.startswith("n"):
            table[name] = table[name] + 0.25


def _flip_labels(table: Table, generator: np.random.Generator) -> None:
    is_flipped = generator.random(len(table["label"])) < 0.3
    table["label"] = np.where(is_flipped, 1 - table["label"], table["label"])


def _swap(table: Table, _: np.random.Generator) -> None:
    table["n0"], table["c0"] = table["c0"], np.round(np.abs(table["n0"]) * 2)


def _units_of_one_category(table: Table, _: np.random.Generator) -> None:
    table["n0"] = np.where(table["c0"] == 0, 10 * table["n0"], table["n0"])


FAULTS = (
    Fault("all null", _set("n0", lambda values: np.full_like(values, np.nan))),
    Fault("half null", _half_null),
    Fault("constant", _set("n0", np.zeros_like)),
    Fault("frozen at a value", _set("n0", lambda values: np.full_like(values, values[0]))),
    Fault("times ten", _set("n0", lambda values: 10 * values)),
    Fault("+3 sigma", _set("n0", lambda values: values + 3)),
    Fault("one category left", _set("c0", np.zeros_like), ("c0",)),
    Fault("all numbers +0.25 sigma", _shift_all, ("Mean Drift",)),
    Fault("30 % of labels flipped", _flip_labels, ("accuracy", "precision 0", "recall 0", "precision 1", "recall 1")),
    Fault("columns swapped", _swap, ("n0", "c0")),
    Fault("a category renamed", _set("c0", lambda codes: np.where(codes == 0, 99, codes)), ("c0",)),
    Fault("times ten in one category", _units_of_one_category),
)


@dataclass(frozen=True)
class Judged:
    """A default rule on a check, with the results of its monitor so far."""

    name: str
    is_own: bool
    kind: CheckKind
    params: Mapping[str, object]
    additional_kwargs: Mapping[str, object]
    policy: Policy
    is_on_rows: bool = False


def default_rules(frequency: Frequency = Frequency.DAY) -> list[Judged]:
    """Return the default rules of a binary model: those of the SDK, and dcmon's own, without the quarantine's."""
    rules = [
        Judged(
            default.name, False, default.kind, default.params, default.monitor.additional_kwargs or {},
            Policy(
                with_own_settings(Condition(default.rule.operator, default.rule.threshold), frequency),
                default.rule.severity, min_n=own_defaults.MIN_N, keep_firing=own_defaults.KEEP_FIRING,
            ),
        )
        for default in defaults.for_task("binary", frequency)
        if default.monitor is not None and default.rule is not None
    ]  # fmt: skip
    for default in own_defaults.for_frequency(frequency):
        for monitor in default.monitors:
            for rule in monitor.rules:
                policy = Policy(parse(rule.condition), rule.severity, min_n=rule.min_n, keep_firing=rule.keep_firing)
                conf = monitor.additional_kwargs or {}
                judged = Judged(monitor.name, True, default.kind, {}, conf, policy, default.kind.is_flow)
                if "quarantine" not in rule.condition:
                    rules.append(judged)
    return rules


def spans(
    model: Model, rules: Iterable[Judged], reference: Rows, days: Iterable[Rows]
) -> Iterator[tuple[Judged, list[ViolationSpan]]]:
    """Evaluate all days, and yield each rule with its alerts."""
    rules, series = list(rules), dict[tuple[str, str], list[Window]]()
    for day, rows in enumerate(days):
        start = START + timedelta(days=day)
        for key, rule in {(rule.name, rule.kind.class_name): rule for rule in rules}.items():
            value = _value(model, rule, rows, reference)
            n = rows.n_labelled if rule.kind.needs_labels else rows.n
            series.setdefault(key, []).append(
                Window(start, start + timedelta(days=1), value.state, value.metrics, n, value.entries)
            )
    for rule in rules:
        yield rule, find_spans(series[rule.name, rule.kind.class_name], rule.policy)


def _value(model: Model, rule: Judged, rows: Rows, reference: Rows) -> CheckValue:
    if rule.is_on_rows:
        return CheckValue(ResultState.OK, {"rows": float(rows.n)})
    setup = CheckSetup(rule.kind, rule.params, rule.additional_kwargs, model.schema)
    return run(setup, rows, reference if rule.kind.needs_reference else None)


def main() -> None:
    """Print the figures as JSON lines."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.defaults", description=__doc__)
    parser.add_argument("what", choices=["faults", "healthy"])
    parser.add_argument("--features", type=int, nargs="+", default=[8, 30, 100])
    parser.add_argument("--rows", type=int, nargs="+", default=[300, 1000, 5000], help="rows a day")
    parser.add_argument("--reference", type=int, nargs="+", default=[1000, 5000], help="rows of the reference")
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--days", type=int, default=YEAR)
    parser.add_argument("--worlds", nargs="+", help="names; of faults, the first one, by default")
    parser.add_argument("--importance", action="store_true", help="give each feature the same importance")
    arguments = parser.parse_args()
    measure = _measure_faults if arguments.what == "faults" else _measure_healthy
    for n_features in arguments.features:
        for n_reference in arguments.reference:
            for n in arguments.rows:
                print_progress(f"{n_features} features, {n_reference} rows of reference, {n} rows a day")
                measure(arguments, n_features, n_reference, n)


def _measure_faults(arguments: argparse.Namespace, n_features: int, n_reference: int, n: int) -> None:
    found = {fault.name: 0 for fault in FAULTS}
    false_alerts, world = 0, _worlds(arguments)[0]
    for number in range(arguments.models):
        model, reference = _model(world, arguments, n_features, n_reference, n, number)
        healthy = [model.rows(model.draw(n, day)) for day in range(HEALTHY_DAYS)]
        for fault in FAULTS:
            broken = [_broken(model, fault, n, HEALTHY_DAYS + day) for day in range(FAULTY_DAYS)]
            own = [rule for rule in default_rules() if rule.is_own]
            alerts = [
                span for _, found_spans in spans(model, own, reference, [*healthy, *broken]) for span in found_spans
            ]
            since = START + timedelta(days=HEALTHY_DAYS)
            found[fault.name] += any(
                span.fired is not None and span.first.window_start >= since and span.metric in fault.names
                for span in alerts
            )
            false_alerts += sum(span.first.window_start < since for span in alerts)
    figure = {
        "figure": "faults found within two days and named", "features": n_features, "reference": n_reference,
        "rows_a_day": n, "world": world.name, "models": arguments.models, "importance": arguments.importance,
        "found": {name: round(count / arguments.models, 2) for name, count in found.items()},
        "false_alerts": false_alerts,
    }  # fmt: skip
    print(json.dumps(figure), flush=True)


def _worlds(arguments: argparse.Namespace) -> list[World]:
    return [world for world in WORLDS if not arguments.worlds or world.name in arguments.worlds]


def _model(
    world: World, arguments: argparse.Namespace, n_features: int, n_reference: int, n: int, number: int
) -> tuple[Model, Rows]:
    generator = np.random.default_rng([SEED, n_features, n_reference, number])
    model = Model(world, n_features, generator, importance=arguments.importance)
    if not world.reference_days:
        return model, model.rows(model.draw(n_reference, None))
    days = [model.draw(n_reference // world.reference_days, day) for day in range(world.reference_days)]
    table = {name: np.concatenate([day[name] for day in days]) for name in days[0]}
    return model, replace(model.rows(table), n_selected_from=n * world.reference_days)


def _broken(model: Model, fault: Fault, n: int, day: int) -> Rows:
    table = model.draw(n, day)
    fault.break_rows(table, model.generator)
    return model.rows(table)


def _measure_healthy(arguments: argparse.Namespace, n_features: int, n_reference: int, n: int) -> None:
    for world in _worlds(arguments):
        counts = Counter[str]()
        for number in range(arguments.models):
            model, reference = _model(world, arguments, n_features, n_reference, n, number)
            days = (model.rows(model.draw(_rows_of(world, model, n, day), day)) for day in range(arguments.days))
            for rule, alerts in spans(model, default_rules(), reference, days):
                n_fired = sum(span.fired is not None for span in alerts)
                counts[f"{rule.name}{'' if rule.is_own else ' (SDK)'}"] += n_fired
        years = arguments.models * arguments.days / YEAR
        own = sum(count for name, count in counts.items() if not name.endswith("(SDK)"))
        figure = {
            "figure": "alerts a model and year", "world": world.name, "features": n_features,
            "reference": n_reference, "rows_a_day": n, "value": round(counts.total() / years, 1),
            "own": round(own / years, 1),
            "by_rule": {name: round(count / years, 1) for name, count in counts.items() if count},
        }  # fmt: skip
        print(json.dumps(figure), flush=True)


def _rows_of(world: World, model: Model, n: int, day: int) -> int:
    """Return how many rows a day has: with noise, and fewer at weekends."""
    expected = n * (world.weekend_rows if day % 7 >= 5 else 1.0)
    return max(1, int(model.generator.poisson(expected * model.generator.lognormal(0, 0.1))))


if __name__ == "__main__":
    main()
