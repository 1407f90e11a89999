"""Measure how often the intervals of values contain the true value, and values without drift stay below the noise.

python -m benchmarks.coverage [--rows 100 300 1000 5000] [--replications 4000] [--metric auc]

Each line is a metric and a source of rows whose true value is known; each column a number of rows; each cell the share
of replications, in per cent, in which the interval of 95 % contained the true value. `-`: rows of this number have no
interval in most replications. `*`: outside of what the metric promises.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from itertools import product
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from benchmarks import score_coverage
from benchmarks.coverage_case import CERTAIN, Case, Covered, Generator, is_covered
from dcmon.statistics import area_intervals, average_intervals, intervals, noise
from dcmon.statistics.average_intervals import Ratio
from dcmon.statistics.categorical_drift import CategoryRules, aligned_counts, cramers_v, population_stability_index
from dcmon.statistics.intervals import Interval
from dcmon.statistics.numeric_drift import kolmogorov_smirnov

SEED, ROWS, REPLICATIONS, REFERENCE_ROWS = 2026, (100, 300, 1_000, 5_000), 4_000, 5_000
MIN_WITH_INTERVAL = 0.5  # share of replications that must have an interval, for a cell of the table
CELLS = 4_000_000  # numbers drawn at a time


def shares() -> Iterator[Case]:
    """Shares of rows."""
    for p in (0.001, 0.01, 0.03, 0.1, 0.3, 0.5, 0.8, 0.95, 0.99, 0.999):

        def draw(generator: Generator, n: int, replications: int, p: float = p) -> Covered:
            return is_covered(intervals.share(generator.binomial(n, p, replications), n), p)

        yield Case("share", f"p {p}", p, draw, rarer=min(p, 1 - p))


def f1_of_a_class() -> Iterator[Case]:
    """F1 of a class, also of a rare one."""
    for labels, right in product((0.5, 0.1, 0.03), (0.5, 0.8, 0.95)):
        wrong = labels * (1 - right)
        jaccard = labels * right / (labels * right + 2 * wrong)
        true = 2 * jaccard / (1 + jaccard)

        def draw(
            generator: Generator, n: int, replications: int, p: tuple[float, ...] = (labels * right, 2 * wrong),
            true: float = true,
        ) -> Covered:  # fmt: skip
            counts = generator.multinomial(n, (*p, 1 - sum(p)), replications)
            return is_covered(intervals.f1(counts[:, 0], counts[:, 1]), true)

        yield Case("f1", f"{labels:.0%} of labels", true, draw, rarer=min(labels * right, 2 * wrong))


def averages() -> Iterator[Case]:
    """Macro and weighted averages over classes."""
    sources = ([0.95, 0.05], [1 / 3] * 3, [0.6, 0.3, 0.1], [0.5, 0.2, 0.15, 0.1, 0.05], [0.1] * 10)
    for classes, right in product(sources, (0.6, 0.95)):
        k = len(classes)
        table = np.array(classes)[:, None] * np.where(np.eye(k) > 0, right, (1 - right) / (k - 1))
        for ratio, name in product(
            (Ratio.PRECISION, Ratio.RECALL, Ratio.F1, Ratio.FALSE_POSITIVE_RATE), ("macro", "weighted")
        ):
            function = getattr(average_intervals, name)
            true = float(np.mean(function(table * 1e12, ratio)))

            def draw(
                generator: Generator, n: int, replications: int, table: NDArray[np.float64] = table,
                function: Callable[..., Interval] = function, ratio: Ratio = ratio, true: float = true,
            ) -> Covered:  # fmt: skip
                counts = generator.multinomial(n, table.ravel(), replications).reshape(-1, *table.shape)
                return is_covered(function(counts.astype(float), ratio), true)

            source, wrong = f"{k} classes, rarest {min(classes):.0%}", min(classes) * (1 - right)
            yield Case(f"{ratio}_{name}", source, true, draw, least=0.91, most=0.99, rarer=wrong)


def areas() -> Iterator[Case]:
    """Areas under the ROC curve: normal scores of both classes."""
    for share, true, spread in product((0.5, 0.1, 0.03), (0.5, 0.75, 0.9, 0.97, 0.99, 0.998), (1.0, 3.0)):
        distance = NormalDist().inv_cdf(true) * np.sqrt(1 + spread**2)

        def draw(
            generator: Generator, n: int, replications: int, share: float = share, true: float = true,
            distance: float = distance, spread: float = spread,
        ) -> Covered:  # fmt: skip
            covered = np.empty(max(1, replications // 4))
            for index in range(len(covered)):
                is_positive = generator.random(n) < share
                scores = generator.normal(size=n)
                scores[is_positive] = scores[is_positive] * spread + distance
                covered[index] = is_covered(area_intervals.roc_auc(is_positive, scores), true)[0]
            return covered

        yield Case("roc_auc", f"{share:.0%} positive, their deviation {spread}", true, draw, most=CERTAIN, divisor=4)


NAMED_ERRORS: dict[str, tuple[Callable[[Generator, tuple[int, int]], NDArray[np.float64]], float, float]] = {
    # The errors, the mean of their squares, and that of their sizes.
    "normal": (lambda generator, shape: generator.normal(size=shape), 1.0, np.sqrt(2 / np.pi)),
    "uniform": (lambda generator, shape: generator.uniform(-1, 1, shape), 1 / 3, 0.5),
    "Laplace": (lambda generator, shape: generator.laplace(size=shape), 2.0, 1.0),
    "exponential": (lambda generator, shape: generator.exponential(size=shape), 2.0, 1.0),
    "Student's t, 5": (lambda generator, shape: generator.standard_t(5, shape), 5 / 3, 0.9490083),
}  # fmt: skip


def errors() -> Iterator[Case]:
    """RMSE and MAE of errors with light and heavy tails."""
    for name, (sample, mean_square, mean_size) in NAMED_ERRORS.items():

        def of_rmse(generator: Generator, n: int, replications: int, sample=sample, true=mean_square) -> Covered:  # type: ignore[no-untyped-def]
            return is_covered(intervals.root_mean_square(sample(generator, (replications, n))), float(np.sqrt(true)))

        def of_mae(generator: Generator, n: int, replications: int, sample=sample, true=mean_size) -> Covered:  # type: ignore[no-untyped-def]
            return is_covered(intervals.mean_loss(np.abs(sample(generator, (replications, n)))), true)

        yield Case("rmse", name, float(np.sqrt(mean_square)), of_rmse, most=0.975)
        yield Case("mae", name, mean_size, of_mae, most=0.975)


def shares_explained() -> Iterator[Case]:
    """R2 of normal labels with normal errors."""
    for true in (0.1, 0.5, 0.9, 0.99):

        def draw(generator: Generator, n: int, replications: int, true: float = true) -> Covered:
            predictions = generator.normal(size=(replications, n)) * np.sqrt(true)
            labels = predictions + generator.normal(size=(replications, n)) * np.sqrt(1 - true)
            return is_covered(intervals.r2(labels, predictions), true)

        yield Case("r2", "normal", true, draw)


def distances() -> Iterator[Case]:
    """Kolmogorov-Smirnov distances of normal numbers that are moved, or get one value."""
    for moved, at_one in ((0.0, 0.0), (0.1, 0.0), (0.5, 0.0), (2.0, 0.0), (0.0, 0.05), (0.0, 0.5)):
        normal = NormalDist()
        true = at_one if at_one else normal.cdf(moved / 2) - normal.cdf(-moved / 2)

        def draw(
            generator: Generator, n: int, replications: int, moved: float = moved, at_one: float = at_one,
            true: float = true,
        ) -> Covered:  # fmt: skip
            values = np.empty(max(1, replications // 4))
            for index in range(len(values)):
                window = generator.normal(moved, 1, n)
                window[generator.random(n) < at_one] = 9.0
                values[index] = kolmogorov_smirnov(np.sort(generator.normal(size=REFERENCE_ROWS)), np.sort(window))
            return is_covered(intervals.kolmogorov_smirnov(values, REFERENCE_ROWS, n), true)

        source = f"{at_one:.0%} at one value" if at_one else f"moved {moved}"
        yield Case("ks", source, true, draw, most=CERTAIN, divisor=4)


CATEGORIES: dict[str, list[float]] = {
    "2 even": [1.0, 1.0],
    "2, one of them 5 %": [19.0, 1.0],
    "5 even": [1.0] * 5,
    "10, by 1/rank": [1 / rank for rank in range(1, 11)],
    "30, by 1/rank": [1 / rank for rank in range(1, 31)],
}


def values_without_drift() -> Iterator[Case]:
    """Distances of samples of one source, which should stay below the noise in 95 of 100."""
    rules = CategoryRules()

    def of_ks(generator: Generator, n: int, replications: int) -> Covered:
        values = [
            kolmogorov_smirnov(np.sort(generator.normal(size=REFERENCE_ROWS)), np.sort(generator.normal(size=n)))
            for _ in range(max(1, replications // 4))
        ]
        return (np.array(values) <= noise.kolmogorov_smirnov(REFERENCE_ROWS, n).usual).astype(float)

    yield Case("ks noise", "normal", 0.0, of_ks, divisor=4)
    for name, weights in CATEGORIES.items():
        p = np.array(weights) / np.sum(weights)

        def of_psi(generator: Generator, n: int, replications: int, p: NDArray[np.float64] = p) -> Covered:
            covered = []
            for first, second in _counts(generator, n, replications // 4, p):
                usual = noise.population_stability_index(
                    REFERENCE_ROWS, n, len(aligned_counts(first, second, rules)[0])
                )
                covered.append(population_stability_index(first, second, rules) <= usual.usual)
            return np.array(covered, dtype=float)

        def of_v(generator: Generator, n: int, replications: int, p: NDArray[np.float64] = p) -> Covered:
            covered = []
            for first, second in _counts(generator, n, replications // 4, p):
                expected = noise.cramers_v(*aligned_counts(first, second, rules))
                covered.append(cramers_v(first, second, rules) <= expected.usual)
            return np.array(covered, dtype=float)

        yield Case("psi noise", name, 0.0, of_psi, least=0.92, most=CERTAIN, divisor=4)
        yield Case("cramers_v noise", name, 0.0, of_v, least=0.92, most=CERTAIN, divisor=4)


def _counts(
    generator: Generator, n: int, replications: int, p: NDArray[np.float64]
) -> Iterator[tuple[dict[object, int], dict[object, int]]]:
    for _ in range(max(1, replications)):
        first, second = (
            {f"c{index:02}": int(count) for index, count in enumerate(generator.multinomial(rows, p))}
            for rows in (REFERENCE_ROWS, n)
        )
        yield first, second


METRICS = (
    *(shares, f1_of_a_class, averages, areas, errors, shares_explained, distances, values_without_drift),
    *score_coverage.METRICS,
)


def cases() -> Iterator[Case]:
    """Return the cases of all metrics."""
    for metric in METRICS:
        yield from metric()


def coverage(case: Case, n: int, replications: int) -> float:
    """Return the share of replications whose interval contains the true value; NaN if most have no interval."""
    generator = np.random.default_rng([SEED, n])
    at_a_time = max(1, CELLS // n)
    covered = np.concatenate([
        case.draw(generator, n, min(at_a_time, replications - start)) for start in range(0, replications, at_a_time)
    ])  # fmt: skip
    has_interval = ~np.isnan(covered)
    return float(covered[has_interval].mean()) if has_interval.mean() >= MIN_WITH_INTERVAL else float("nan")


def main() -> None:
    """Print a table: metrics and sources by numbers of rows."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS))
    parser.add_argument("--replications", type=int, default=REPLICATIONS)
    parser.add_argument("--metric", help="only metrics whose name has this text")
    arguments = parser.parse_args()
    print(f"{'metric':<24}{'source':<38}{'true':>8}" + "".join(f"{n:>9}" for n in arguments.rows))
    n_outside = 0
    for case in cases():
        if arguments.metric and arguments.metric not in case.metric:
            continue
        line = f"{case.metric:<24}{case.source:<38}{case.true:>8.4g}"
        for n in arguments.rows:
            share, (least, most) = coverage(case, n, arguments.replications), case.promises(n)
            is_outside = not np.isnan(share) and not least <= share <= most
            n_outside += is_outside
            line += "        -" if np.isnan(share) else f"{100 * share:>8.1f}{'*' if is_outside else ' '}"
        print(line, flush=True)
    print(f"{n_outside} outside of what the metric promises", file=sys.stderr)


if __name__ == "__main__":
    main()
