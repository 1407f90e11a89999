"""Sources of rows for scores whose intervals are tried as a check computes them, and for estimates of scores."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage_case import CERTAIN, Case, Covered, Generator, is_covered
from dcmon.statistics import calibration, scorers
from dcmon.statistics.columns import ClassColumn, NumericColumn, Rows
from dcmon.statistics.confusion import ClassifiedRows
from dcmon.statistics.estimated_performance import ExpectedRows, estimated_score
from dcmon.statistics.intervals import Interval
from dcmon.statistics.score_intervals import class_score_interval, regression_score_interval

SEED, MANY_ROWS = 2027, 1_000_000  # rows of which a score is taken for the true one
SLOW = 8  # each such replication takes much longer than others, so that there are so many times fewer
REFERENCE_ROWS, WINDOWS = 5_000, 5  # of a calibration, and windows that are estimated with it
NO_INTERVAL = Interval(np.asarray(np.nan), np.asarray(np.nan))

Numbers = NDArray[np.float64]
RegressionSource = Callable[[Generator, int], tuple[Numbers, Numbers]]


def _gamma(generator: Generator, n: int) -> tuple[Numbers, Numbers]:
    predictions = generator.gamma(4, 1, n) + 0.2
    return predictions * generator.gamma(9, 1 / 9, n), predictions


def _counts(generator: Generator, n: int) -> tuple[Numbers, Numbers]:
    predictions = generator.gamma(4, 1, n) + 0.2
    return generator.poisson(predictions).astype(float), predictions


REGRESSIONS: dict[str, tuple[RegressionSource, tuple[str, ...]]] = {
    "gamma": (_gamma, ("mse", "explained_variance", "neg_median_absolute_error", "neg_mean_gamma_deviance")),
    "counts": (_counts, ("r2", "neg_mean_squared_log_error", "neg_mean_poisson_deviance")),
}


def scores_of_numbers() -> Iterator[Case]:
    """Scores of numbers whose errors grow with the prediction."""
    for source, (sample, names) in REGRESSIONS.items():
        many = _regression_rows(*sample(np.random.default_rng(SEED), MANY_ROWS))
        for name in names:
            true = scorers.regression_score(name, many)

            def draw(
                generator: Generator, n: int, replications: int, sample: RegressionSource = sample, name: str = name,
                true: float = true,
            ) -> Covered:  # fmt: skip
                rows = (_regression_rows(*sample(generator, n)) for _ in range(replications // 2))
                return _covered([regression_score_interval(name, window) for window in rows], true)

            yield Case(name.removeprefix("neg_"), source, true, draw, most=0.975, divisor=2)


def _regression_rows(labels: Numbers, predictions: Numbers) -> Rows:
    return Rows(len(labels), {}, NumericColumn(labels), NumericColumn(predictions))


def scores_of_probabilities() -> Iterator[Case]:
    """Scores of probabilities that are right: of two classes, and mean areas of three."""
    for shares, names in (
        ((1.0, 1.0), ("neg_log_loss", "neg_brier_score")),
        ((1.9, 0.1), ("neg_log_loss", "neg_brier_score")),
        ((1.0, 1.0, 1.0), ("roc_auc_ovr",)),
        ((2.0, 0.7, 0.3), ("roc_auc_ovr", "roc_auc_ovr_weighted")),
    ):
        classes = tuple("abc"[: len(shares)])
        many = _classified(np.random.default_rng(SEED), MANY_ROWS, shares)
        for name in names:
            true = float(scorers.class_score(name, many))  # type: ignore[arg-type]

            def draw(
                generator: Generator, n: int, replications: int, shares: Sequence[float] = shares, name: str = name,
                true: float = true,
            ) -> Covered:  # fmt: skip
                rows = (_classified(generator, n, shares) for _ in range(max(1, replications // SLOW)))
                return _covered([class_score_interval(name, window) for window in rows], true)

            source = f"{len(classes)} classes, rarest {min(shares) / sum(shares):.0%}"
            yield Case(name.removeprefix("neg_"), source, true, draw, least=0.92, most=CERTAIN, divisor=SLOW)


def _classified(generator: Generator, n: int, shares: Sequence[float]) -> ClassifiedRows:
    probabilities, labels = _calibrated_rows(generator, n, shares)
    classes = tuple("abcdefgh"[: len(shares)])
    predictions = ClassColumn(probabilities.argmax(axis=1), classes)
    rows = Rows(n, {}, ClassColumn(labels, classes), predictions, probabilities)
    return ClassifiedRows(rows, classes, uses_probabilities=True)


def _calibrated_rows(generator: Generator, n: int, shares: Sequence[float]) -> tuple[Numbers, NDArray[np.int64]]:
    probabilities = generator.dirichlet(shares, n)
    labels = (probabilities.cumsum(axis=1) < generator.random((n, 1))).sum(axis=1)
    return probabilities, np.minimum(labels, len(shares) - 1)


def estimates() -> Iterator[Case]:
    """Scores that are estimated before labels come: the interval contains the realised score of the same rows.

    The model says p^sharpness of the right probability p: above 1 it is over-confident, below 1 too modest.
    """
    for n_classes, sharpness in ((2, 1.0), (2, 2.5), (3, 1.0), (3, 2.5), (3, 0.4), (5, 2.5)):
        for name in ("accuracy", "f1_macro", "roc_auc"):

            def draw(
                generator: Generator, n: int, replications: int, n_classes: int = n_classes,
                sharpness: float = sharpness, name: str = name,
            ) -> Covered:  # fmt: skip
                models = range(max(1, replications // SLOW // WINDOWS))
                return np.concatenate([_estimated(generator, n, n_classes, sharpness, name) for _ in models])

            source = f"{n_classes} classes, sharpness {sharpness}"
            yield Case(f"estimated {name}", source, float("nan"), draw, least=0.91, most=CERTAIN, divisor=SLOW)


def _estimated(generator: Generator, n: int, n_classes: int, sharpness: float, name: str) -> Covered:
    shares = np.linspace(1.5, 0.5, n_classes).tolist()
    right, labels = _calibrated_rows(generator, REFERENCE_ROWS, shares)
    fitted = calibration.fit(_sharpened(right, sharpness), labels)
    covered = []
    for _ in range(WINDOWS):
        right, labels = _calibrated_rows(generator, n, shares)
        probabilities = _sharpened(right, sharpness)
        predictions = probabilities.argmax(axis=1)
        estimate = estimated_score(name, ExpectedRows(probabilities, predictions, fitted))
        classes = tuple("abcdefgh"[:n_classes])
        rows = Rows(n, {}, ClassColumn(labels, classes), ClassColumn(predictions, classes), probabilities)
        realised = scorers.class_score(name, ClassifiedRows(rows, classes, uses_probabilities=True))
        covered.append(estimate.low <= realised <= estimate.high)  # type: ignore[operator]
    return np.array(covered, dtype=float)


def _sharpened(probabilities: Numbers, sharpness: float) -> Numbers:
    sharpened = probabilities**sharpness
    return np.asarray(sharpened / sharpened.sum(axis=1, keepdims=True))


def _covered(found: Sequence[object], true: float) -> Covered:
    intervals = [interval if isinstance(interval, Interval) else NO_INTERVAL for interval in found]
    return np.concatenate([is_covered(interval, true) for interval in intervals])


METRICS = (scores_of_numbers, scores_of_probabilities, estimates)
