"""Worlds without a fault, and models whose rows come from them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dcmon.checks.dataset_schema import DatasetSchema
from dcmon.statistics.columns import ClassColumn, Column, CountedColumn, NumericColumn, OutputColumn, Rows

Numbers = NDArray[np.float64]
Table = dict[str, Numbers]  # columns by name; categories and classes as numbers
Transform = Callable[[Numbers, np.random.Generator], Numbers]

CLASSES: Mapping[str, tuple[str, ...]] = {"binary": ("0", "1"), "multiclass": ("a", "b", "c"), "regression": ()}
WEEKEND = np.array([0, 0, 0, 0, 0, 1, 1]) - 2 / 7  # the mean of a week is 0
HOUR = np.sin(np.arange(24) / 24 * 2 * math.pi)
MONTH = 30  # days
HOLIDAY_SHARE = 0.03  # of days
UNIQUE = 0  # categories: each row has one of its own


@dataclass(frozen=True)
class World:
    """Where rows come from: three quarters of the features are numbers, the others categories.

    In standard deviations: `season`, how far weekends are from weekdays; `hour_season` and `month_season`, the
    amplitudes over a day and over a month; `holiday`, how far a holiday is from other days; `day_effect`, the standard
    deviation of a day's shift of each number, which remembers the day before by `persistence`; `walk`, that of the
    steps of a random walk. `correlation`: of all numbers. `categories`: of each feature, `zipf` by Zipf's law. `nulls`:
    the share of nulls. `transform`: of the normal numbers. `reference_days`: the reference has so many days, in
    the order of time; 0 for rows of any day in any order.
    """

    name: str
    correlation: float = 0.0
    season: float = 0.0
    hour_season: float = 0.0
    month_season: float = 0.0
    holiday: float = 0.0
    day_effect: float = 0.0
    persistence: float = 0.0
    walk: float = 0.0
    categories: int = 8
    zipf: float = 0.0
    nulls: float = 0.0
    weekend_rows: float = 1.0
    reference_days: int = 0
    transform: Transform = field(default=lambda values, _: values)


def _with_zeros(values: Numbers, generator: np.random.Generator) -> Numbers:
    return np.where(generator.random(values.shape) < 0.6, 0, np.abs(values))


def _cauchy(values: Numbers, generator: np.random.Generator) -> Numbers:
    return values / np.abs(generator.standard_normal(values.shape))


WORLDS = (
    World("normal"),
    World("correlated numbers", correlation=0.5),
    World("2,000 categories, Zipf", categories=2000, zipf=1),
    World("2,000 equal categories", categories=2000),
    World("an id in each row", categories=UNIQUE),
    World("skewed numbers", transform=lambda values, _: np.exp(1.5 * values)),
    World("Cauchy", transform=_cauchy),
    World("integers", transform=lambda values, _: np.round(2 * values)),
    World("booleans", transform=lambda values, _: (values > 0.5).astype(float)),
    World("constants", transform=lambda values, _: np.zeros_like(values)),
    World("60 % zeros", transform=_with_zeros),
    World("60 % nulls", nulls=0.6),
    World("weekly season 0.3", season=0.3, weekend_rows=0.5),
    World("weekly season 1", season=1, weekend_rows=0.5),
    World("weekly season 0.5, correlated", season=0.5, correlation=0.5, weekend_rows=0.5),
    World("monthly season 0.5", month_season=0.5),
    World("hourly season 0.5", hour_season=0.5),
    World("holidays 1", holiday=1),
    World("day effect 0.05", day_effect=0.05),
    World("day effect 0.1", day_effect=0.1),
    World("day effect 0.2", day_effect=0.2),
    World("day effect 0.3", day_effect=0.3),
    World("day effect 0.2, persistent", day_effect=0.2, persistence=0.8),
    World("random walk 0.05", walk=0.05),
    World("weekly season 1, ordered reference", season=1, weekend_rows=0.5, reference_days=60),
    World("day effect 0.5, ordered reference", day_effect=0.5, reference_days=60),
    World("day effect 1, ordered reference", day_effect=1, reference_days=60),
)


class Model:
    """A model with a reference and windows of one world. Binary models have the classes 0 and 1."""

    def __init__(
        self, world: World, n_features: int, generator: np.random.Generator, task: str = "binary", *, importance: bool
    ) -> None:
        self.world, self.generator, self.task, self.classes = world, generator, task, CLASSES[task]
        n_categorical = max(1, n_features // 4)
        self.numbers = [f"n{index}" for index in range(n_features - n_categorical)]
        self.categorical = [f"c{index}" for index in range(n_categorical)]
        names = self.numbers + self.categorical
        types = dict.fromkeys(self.numbers, "numeric") | dict.fromkeys(self.categorical, "categorical")
        weights = dict.fromkeys(names, 1 / n_features) if importance else None
        self.schema = DatasetSchema(task, types, list(self.classes) or None, weights)
        shares = 1 / np.arange(1, world.categories + 1) ** world.zipf
        self._cumulative = np.cumsum(shares / shares.sum())
        n = len(self.numbers)
        self._loads = generator.uniform(0.5, 1, n) * generator.choice([-1, 1], n)
        self._effects, self._walks = np.zeros(n), np.zeros(n)
        self._holidays = generator.random(1000) < HOLIDAY_SHARE

    def draw_reference(self, n: int) -> Table:
        """Draw rows of all hours, days of the week and of the month; or, if the world has them, of days in order."""
        generator = self.generator
        if n_days := self.world.reference_days:
            days = [self.draw(n // n_days, day) for day in range(n_days)]
            return {name: np.concatenate([day[name] for day in days]) for name in days[0]}
        return self._draw(n, generator.integers(0, 7, n), generator.integers(0, 24, n), generator.integers(0, MONTH, n))

    def draw(self, n: int, day: int, hour: int | None = None) -> Table:
        """Draw rows of a day, or of its hour. Call it in the order of time."""
        world, generator = self.world, self.generator
        if hour in (None, 0):
            fresh = generator.standard_normal(len(self.numbers)) * math.sqrt(1 - world.persistence**2)
            self._effects = world.persistence * self._effects + world.day_effect * fresh
            self._walks = self._walks + world.walk * generator.standard_normal(len(self.numbers))
        hours = generator.integers(0, 24, n) if hour is None else np.full(n, hour)
        is_holiday = self._holidays[day % len(self._holidays)]
        shift = self._effects + self._walks + world.holiday * is_holiday * self._loads
        return self._draw(n, np.full(n, day % 7), hours, np.full(n, day % MONTH), shift)

    def _draw(
        self, n: int, weekdays: NDArray[np.int64], hours: NDArray[np.int64], days: NDArray[np.int64],
        shift: Numbers | float = 0.0,
    ) -> Table:  # fmt: skip
        world, generator = self.world, self.generator
        values = generator.standard_normal((n, len(self.numbers)))
        common = generator.standard_normal((n, 1))
        values = math.sqrt(1 - world.correlation) * values + math.sqrt(world.correlation) * common
        weekend = WEEKEND[weekdays]
        season = world.season * weekend + world.hour_season * HOUR[hours]
        season += world.month_season * np.sin(days / MONTH * 2 * math.pi)
        values += season[:, None] * self._loads + shift
        values = world.transform(values, generator)
        values[generator.random(values.shape) < world.nulls] = np.nan
        codes = self._draw_codes(n, weekend)
        codes[generator.random(codes.shape) < world.nulls] = np.nan
        return {
            **dict(zip(self.numbers, values.T, strict=True)),
            **dict(zip(self.categorical, codes.T, strict=True)),
            **self._draw_outputs(n),
        }

    def _draw_codes(self, n: int, weekend: Numbers) -> Numbers:
        shape = n, len(self.categorical)
        if self.world.categories == UNIQUE:
            return self.generator.integers(0, 10**15, shape).astype(float)
        uniform = self.generator.random(shape) ** np.exp(self.world.season / 2 * weekend)[:, None]
        return np.minimum(np.searchsorted(self._cumulative, uniform), self.world.categories - 1).astype(float)

    def _draw_outputs(self, n: int) -> Table:
        """Draw predictions and labels: of classes with calibrated probabilities, of numbers with errors of 0.5."""
        generator = self.generator
        if not self.classes:
            predictions = generator.standard_normal(n)
            return {"prediction": predictions, "label": predictions + 0.5 * generator.standard_normal(n)}
        weights = (5, 2) if len(self.classes) == 2 else (3, 2, 1)
        probabilities = generator.dirichlet(weights, n)
        below = probabilities.cumsum(axis=1) < generator.random((n, 1))
        return {
            **{f"probability {name}": probabilities[:, index] for index, name in enumerate(self.classes)},
            "prediction": probabilities.argmax(axis=1).astype(float),
            "label": np.minimum(below.sum(axis=1), len(self.classes) - 1).astype(float),
        }

    def rows(self, table: Table) -> Rows:
        """Return a table as columns."""
        features: dict[str, Column] = {
            **{name: NumericColumn(table[name]) for name in self.numbers},
            **{name: _counted(table[name]) for name in self.categorical},
        }
        probabilities = [table[f"probability {name}"] for name in self.classes]
        return Rows(
            len(table["prediction"]), features, self._output(table["label"]), self._output(table["prediction"]),
            np.column_stack(probabilities) if probabilities else None,
        )  # fmt: skip

    def _output(self, values: Numbers) -> OutputColumn:
        return ClassColumn(values.astype(np.int64), self.classes) if self.classes else NumericColumn(values)

    def documents(self, table: Table) -> list[dict[str, object]]:
        """Return a table as rows in JSON, each with its label, without id and time."""
        columns: dict[str, list[object]] = {name: _numbers(table[name]) for name in self.numbers}
        columns |= {name: [category(code) for code in table[name]] for name in self.categorical}
        for name in ("prediction", "label"):
            values = table[name]
            columns[f"_dc_{name}"] = [self.classes[int(code)] for code in values] if self.classes else values.tolist()
        if self.classes:
            probabilities = np.column_stack([table[f"probability {name}"] for name in self.classes])
            columns["_dc_prediction_probabilities"] = probabilities.tolist()
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _numbers(values: Numbers) -> list[object]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def category(code: float) -> str | None:
    """Return the name of a category."""
    return None if math.isnan(code) else f"v{code:.0f}"


def _counted(codes: Numbers) -> CountedColumn:
    present = codes[~np.isnan(codes)]
    names = {code: f"v{code:.0f}" for code in np.unique(present)}
    positions = np.where(np.isnan(codes), -1, np.searchsorted(list(names), codes))
    in_order = ClassColumn(positions.astype(np.int64), tuple(names.values()))
    return CountedColumn(in_order.counts(), len(codes) - len(present), lambda: in_order)
