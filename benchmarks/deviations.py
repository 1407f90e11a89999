"""Count what `any feature deviation up > 3` finds: in years without change, and when one feature moves.

python -m benchmarks.deviations [--features 1 8 30 100] [--over 14 30] [--years 10]

The entries of each day are drawn without a database: the drift of a number (Kolmogorov-Smirnov) or of categories (PSI,
Cramer's V) of 300 rows against a reference of 5,000, shares of nulls of 300 rows, or normal numbers. The code of rules
judges them. `plain`: days with an entry above 3 plain standard deviations of the days before, whatever their number.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from benchmarks.measurement import print_progress
from dcmon.alerting.rules import parse
from dcmon.alerting.state_machine import JudgedWindow, Policy, StateMachine
from dcmon.statistics import noise

START, YEAR, SEED = datetime(2026, 1, 1, tzinfo=UTC), 365, 2026
ROWS, REFERENCE_ROWS, BINS = 300, 5_000, 256
SHIFTS = (0.25, 0.5, 1.0, 3.0)  # of a feature, in its standard deviations
TRIALS, FAULTY_DAYS = 100, 2
Values = NDArray[np.float64]
COUNTS = (np.full(8, REFERENCE_ROWS / 8), np.full(8, ROWS / 8))  # expected, of eight categories
NOISE = {
    "drift of numbers": noise.kolmogorov_smirnov(ROWS, REFERENCE_ROWS).usual,
    "drift of categories, PSI": noise.population_stability_index(ROWS, REFERENCE_ROWS, 8).usual,
    "drift of categories, Cramer's V": noise.cramers_v(*COUNTS).usual,
}


@dataclass(frozen=True)
class Day:
    """A day's result, with the attributes that rules read."""

    window_start: datetime
    window_end: datetime
    entries: dict[str, float]
    metrics: dict[str, float] = field(default_factory=dict)
    state: str = "OK"
    n: int = ROWS
    noise: dict[str, float] = field(default_factory=dict)


def kolmogorov_smirnov(chance: np.random.Generator, days: int, shift: float = 0.0) -> Values:
    """Draw the drift of a normal number that is shifted from the reference."""
    edges = np.linspace(-4, 4, BINS - 1)
    reference = np.searchsorted(np.sort(chance.standard_normal(REFERENCE_ROWS)), edges) / REFERENCE_ROWS
    drift = np.empty(days)
    for day in range(days):
        rows = np.sort(chance.standard_normal(ROWS) + shift)
        drift[day] = np.abs(np.searchsorted(rows, edges) / ROWS - reference).max()
    return drift


def population_stability_index(chance: np.random.Generator, days: int) -> Values:
    """Draw the index of eight categories: chi-squared with 7 degrees of freedom."""
    return np.asarray((1 / ROWS + 1 / REFERENCE_ROWS) * chance.chisquare(7, days))


def cramers_v(chance: np.random.Generator, days: int) -> Values:
    """Draw Cramer's V of eight categories with its correction for bias, from its chi-squared."""
    chi_squared = (1 + ROWS / REFERENCE_ROWS) / 2 * chance.chisquare(7, days)
    return np.sqrt(np.maximum(0, chi_squared / (2 * ROWS) - 7 / (2 * ROWS - 1)))


def null_shares(chance: np.random.Generator, days: int) -> Values:
    """Draw shares of nulls: 2 % of the rows."""
    return chance.binomial(ROWS, 0.02, days) / ROWS


def normal_numbers(chance: np.random.Generator, days: int) -> Values:
    """Draw normal numbers, like a mean of many."""
    return chance.normal(0.5, 0.05, days)


DRAWS: dict[str, Callable[[np.random.Generator, int], Values]] = {
    "drift of numbers": kolmogorov_smirnov,
    "drift of categories, PSI": population_stability_index,
    "drift of categories, Cramer's V": cramers_v,
    "shares of nulls": null_shares,
    "normal numbers": normal_numbers,
}


def judge(entries: Values, over: int, name: str, keep: int) -> list[JudgedWindow]:
    """Judge days, shape (days, features), of values of this name; return the last ones."""
    machine = StateMachine(Policy(parse(f"any feature deviation up > 3 over {over}")))
    names = [f"f{index}" for index in range(entries.shape[1])]
    usual = dict.fromkeys(names, NOISE[name]) if name in NOISE else {}
    for number, values in enumerate(entries.tolist()):
        start = START + timedelta(days=number)
        machine.advance(Day(start, start + timedelta(days=1), dict(zip(names, values, strict=True)), noise=usual))
    return machine.judged[-keep:]


def main() -> None:
    """Print the figures as JSON lines."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.deviations", description=__doc__)
    parser.add_argument("--features", type=int, nargs="+", default=[1, 8, 30, 100])
    parser.add_argument("--over", type=int, nargs="+", default=[14, 30])
    parser.add_argument("--years", type=int, default=10)
    arguments = parser.parse_args()
    for over in arguments.over:
        for n_features in arguments.features:
            for name, draw in DRAWS.items():
                print_progress(f"{name}: {n_features} features over {over}, {arguments.years} years")
                _measure_noise(name, draw, n_features, over, arguments.years)
            _measure_shifts(n_features, over)


def _measure_noise(
    name: str, draw: Callable[[np.random.Generator, int], Values], n_features: int, over: int, years: int
) -> None:
    plain = limited = 0
    for year in range(years):
        chance = np.random.default_rng([SEED, n_features, year])
        entries = np.column_stack([draw(chance, YEAR + over) for _ in range(n_features)])
        limited += sum(judged.verdict.is_violated for judged in judge(entries, over, name, YEAR))
        plain += int(_plain_violations(entries, over).sum())
    figure = {
        "figure": "bad days a year without change", "of": name, "features": n_features, "over": over, "years": years,
        "value": round(limited / years, 1), "plain": round(plain / years, 1),
    }  # fmt: skip
    print(json.dumps(figure), flush=True)


def _plain_violations(entries: Values, over: int) -> NDArray[np.bool_]:
    past = np.lib.stride_tricks.sliding_window_view(entries[:-1], over, axis=0)
    mean = past.mean(axis=-1)
    spread = np.maximum(past.std(axis=-1, ddof=1), np.maximum(0.001, 0.01 * np.abs(mean)))
    return np.asarray(((entries[over:] - mean) / spread > 3).any(axis=1))


def _measure_shifts(n_features: int, over: int) -> None:
    """Measure how often two days with one shifted feature are found, by the shift of the feature."""
    found = {}
    for shift in SHIFTS:
        n_found = 0
        for trial in range(TRIALS):
            chance = np.random.default_rng([SEED, n_features, trial, 1])
            before = np.column_stack([kolmogorov_smirnov(chance, over + FAULTY_DAYS) for _ in range(n_features)])
            before[over:, 0] = kolmogorov_smirnov(chance, FAULTY_DAYS, shift)
            judged = judge(before, over, "drift of numbers", FAULTY_DAYS)
            n_found += any(_names(day, "f0") for day in judged)
        found[shift] = n_found / TRIALS
    figure = {
        "figure": "found within two days, by the shift of one feature", "features": n_features, "over": over,
        "rows": ROWS, "trials": TRIALS, "found": found,
    }  # fmt: skip
    print(json.dumps(figure), flush=True)


def _names(judged: JudgedWindow, feature: str) -> bool:
    finding = judged.verdict.finding
    return judged.verdict.is_violated and finding is not None and finding.name == feature


if __name__ == "__main__":
    main()
