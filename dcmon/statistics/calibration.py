"""Calibrate predicted probabilities on labelled rows, and state how far the result can be trusted.

The rules are those of NannyML 0.13.1 (nannyml.calibration and nannyml.performance_estimation.confidence_based.cbpe),
which fits the curve with scikit-learn's IsotonicRegression. How sure the curve is, is dcmon's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dcmon.statistics.errors import TooFewValues, Untrusted
from dcmon.statistics.isotonic import IsotonicCurve, fit_curve
from dcmon.statistics.roc import area

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

# Rules of NannyML.
_SPLITS, _TEST_SHARE, _SEED = 10, 0.1, 42
_PERFECT_AREA = 0.999

# The expected calibration error that is accepted beyond noise.
TOLERANCE = 0.01
_FALSE_REFUSALS = 1e-5  # the share of well calibrated references that are refused all the same
_TRUST_BINS, _ROWS_OF_TRUST_BIN = 10, 25
_ERROR_BINS, _ROWS_OF_ERROR_BIN = 50, 20
MIN_ROWS = 50


class _Bins(NamedTuple):
    """Ranges of a class's uncalibrated probability, between quantiles of the reference.

    `edges`: shape (ranges - 1,). Each range is two bins: one of the rows whose most probable class is another one, then
    one of those whose most probable class is this one. `bias`: shape (bins,), the share of rows of the class in a bin,
    minus their mean calibrated probability. `variance`: shape (bins,), that of the share, q (1 - q) / n with
    q = (rows of the class + 1) / (n + 2).
    """

    edges: Numbers
    bias: Numbers
    variance: Numbers


class CalibrationError(NamedTuple):
    """What is wrong with a sum over rows because of the calibration: its expected error, and that error's variance."""

    bias: float
    variance: float


@dataclass(frozen=True)
class Calibration:
    """Curves that turn a model's probabilities into the shares of rows that they stand for.

    `curves`: of each class, or of the second class of a binary model alone; None for a class whose probabilities are
    right as they are. `n`: the number of rows from which it was fitted.
    """

    curves: tuple[IsotonicCurve | None, ...]
    n: int
    _bins: tuple[_Bins, ...]

    @property
    def is_binary(self) -> bool:
        """True if there are two classes, of which the second is the positive one."""
        return len(self.curves) == 1

    def calibrated(self, probabilities: Numbers) -> Numbers:
        """Return calibrated probabilities, of which each row sums to 1.

        `probabilities` and result: shape (rows, classes). Of more than two classes each is calibrated by itself and
        divided by the sum of the row; a row whose sum is 0 gets equal probabilities.
        """
        if self.is_binary:
            positive = _calibrated(self.curves[0], probabilities[:, 1])
            return np.array((1 - positive, positive)).T
        pairs = zip(self.curves, probabilities.T, strict=True)
        separate = np.array([_calibrated(curve, scores) for curve, scores in pairs])
        sums = separate.sum(axis=0)
        return np.divide(separate, sums, out=np.full_like(separate, 1 / len(separate)), where=sums != 0).T

    def bins(self, probabilities: Numbers) -> list[NDArray[np.intp]]:
        """Return the bin of each row's uncalibrated probability, for each curve: what `error` reads."""
        sides = _class_scores(probabilities)
        return [_positions(bins.edges, *side) for bins, side in zip(self._bins, sides, strict=True)]

    def error(self, bins: Sequence[NDArray[np.intp]], gradient: Numbers) -> CalibrationError:
        """Return what the calibration adds to the error of a sum over rows.

        `gradient`: shape (classes, rows), by how much the sum changes with the calibrated probability of a class and
        row. A bin's error is common to all of its rows: the bias is the sum over bins of (sum of gradients) bias(bin).
        It is not 0 where probabilities of more than two classes are divided by their sum after each was calibrated by
        itself. The limited number of reference rows gives errors of bins that are independent: the variance is the sum
        over bins of (sum of gradients)^2 variance(bin).
        """
        slopes = gradient[1:] - gradient[:1] if self.is_binary else gradient
        bias = variance = 0.0
        for of_class, positions, slope in zip(self._bins, bins, slopes, strict=True):
            sums = np.bincount(positions, weights=slope, minlength=len(of_class.variance))
            bias += float(sums @ of_class.bias)
            variance += float(sums**2 @ of_class.variance)
        return CalibrationError(bias, variance)


def fit(probabilities: Numbers, labels: NDArray[np.int64]) -> Calibration:
    """Fit the calibration of each class on reference rows, where NannyML's rule says that it helps.

    `probabilities`: shape (rows, classes), without NaN. `labels`: shape (rows,), positions of the classes; -1 for a
    class that the model does not know. Raises TooFewValues.
    """
    if len(labels) < MIN_ROWS:
        raise TooFewValues(f"The reference has {len(labels)} rows with label and probabilities, {MIN_ROWS} are needed.")
    sides = list(_class_against_others(probabilities, labels))
    curves = tuple(fit_curve(scores, is_class) if needs_calibration(scores, is_class) else None
                   for scores, is_class in sides)  # fmt: skip
    unbinned = Calibration(curves, len(labels), ())
    calibrated = unbinned.calibrated(probabilities)[:, 1:] if unbinned.is_binary else unbinned.calibrated(probabilities)
    bins = (
        _error_bins(*of_class, is_class, chances)
        for of_class, (_, is_class), chances in zip(_class_scores(probabilities), sides, calibrated.T, strict=True)
    )
    return replace(unbinned, _bins=tuple(bins))


def needs_calibration(scores: Numbers, is_class: Flags) -> bool:
    """Return True if a curve brings a class's probabilities nearer to the shares of rows, by cross-validation.

    Ten times a curve is fitted on nine tenths of the rows and applied to the others; the expected calibration error of
    all these others must be smaller with the curve than without. A class that all or no rows have, and one whose area
    under the ROC curve is above 0.999, needs none. Source: nannyml.calibration.needs_calibration; the splits are those
    of scikit-learn's StratifiedShuffleSplit(10, test_size=0.1, random_state=42).

    `scores`: shape (rows,), the probability of the class. `is_class`: shape (rows,). Raises TooFewValues for a class
    of a single row, and for fewer than 11 rows.
    """
    if is_class.all() or not is_class.any():
        return False
    if area(scores, is_class) > _PERFECT_AREA:
        return False
    before, after, truth = [], [], []
    for train, test in _stratified_splits(is_class):
        curve = fit_curve(scores[train], is_class[train])
        before.append(scores[test])
        after.append(curve(scores[test]))
        truth.append(is_class[test])
    is_true = np.concatenate(truth)
    return bool(
        _calibration_error(np.concatenate(before), is_true) > _calibration_error(np.concatenate(after), is_true)
    )


def _calibration_error(scores: Numbers, is_class: Flags) -> float:
    """Return the mean over ten bins of equal size of |mean probability - share of the class|.

    The number of rows is a multiple of ten. Where a border of bins cuts rows of equal probability, they come in the
    order in which the splits drew them. NannyML's sort leaves it to the processor, and so whether there is a curve.
    """
    order = np.argsort(scores, kind="stable")
    difference = (scores[order] - is_class[order]).reshape(_SPLITS, -1)
    return float(np.abs(difference.mean(axis=1)).mean())


def _stratified_splits(is_class: Flags) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return the rows to fit on and the rows to test on, of each split.

    Each class is shuffled by itself. The random numbers are drawn in the order of scikit-learn 1.x.
    """
    counts = np.array([(~is_class).sum(), is_class.sum()])
    n_test = int(np.ceil(_TEST_SHARE * len(is_class)))
    if counts.min() < 2 or n_test < 2:
        raise TooFewValues("The reference has fewer than two rows of a class, or fewer than eleven rows.")
    # Frozen by numpy: the same seed gives the same numbers in all versions.
    random = np.random.RandomState(_SEED)
    rows = np.flatnonzero(~is_class), np.flatnonzero(is_class)
    splits = []
    for _ in range(_SPLITS):
        n_train = _shares(counts, len(is_class) - n_test, random)
        n_tested = _shares(counts - n_train, n_test, random)
        shuffled = [side[random.permutation(len(side))] for side in rows]
        train = np.concatenate([side[:n] for side, n in zip(shuffled, n_train, strict=True)])
        test = np.concatenate(
            [side[start : start + n] for side, start, n in zip(shuffled, n_train, n_tested, strict=True)]
        )
        splits.append((random.permutation(train), random.permutation(test)))
    return splits


def _shares(counts: NDArray[np.int64], n: int, random: np.random.RandomState) -> NDArray[np.int64]:
    """Return how many of `n` rows each of two classes gets: in proportion, the largest remainder first.

    Equal remainders are drawn (sklearn.utils.extmath._approximate_mode).
    """
    exact = counts / counts.sum() * n
    shares = np.floor(exact)
    missing = int(n - shares.sum())
    remainders = exact - shares
    for value in np.unique(remainders)[::-1]:
        if not missing:
            break
        candidates = np.flatnonzero(remainders == value)
        chosen = random.choice(candidates, size=min(len(candidates), missing), replace=False)
        shares[chosen] += 1
        missing -= len(chosen)
    result: NDArray[np.int64] = shares.astype(np.int64)
    return result


def require_trust(
    calibration: Calibration, probabilities: Numbers, labels: NDArray[np.int64], classes: Sequence[str]
) -> None:
    """Raise Untrusted if a calibration fitted on half of the reference does not hold on the other half.

    Arguments as those of `fit`; `classes`: the names of the classes. The halves are drawn with a fixed seed; without
    curves nothing is fitted, and all rows are tested. For each class the expected calibration error is the mean over up
    to ten bins of the uncalibrated probability, weighted by rows, of |mean calibrated probability - share of the class|
    (Naeini, Cooper and Hauskrecht 2015). It may be 0.01, and what noise gives to a right calibration: the mean and z
    standard deviations of a sum of half-normal variables whose scales are the bins' standard errors
    sqrt(q (1 - q) (1/n tested + 1/n fitted)). z is so large that one right calibration in 100,000 is refused.
    """
    halves = _halves(calibration, probabilities, labels)
    first = 1 if calibration.is_binary else 0
    z = NormalDist().inv_cdf(1 - _FALSE_REFUSALS / len(calibration.curves))
    for index, class_name in enumerate(classes[first:], first):
        error = _tested(halves, index)
        if error.value > error.noise_mean + z * error.noise_deviation + TOLERANCE:
            raise Untrusted(
                f"can't be estimated: the calibration is off by {error.value:.2g} (expected calibration error of"
                f" {class_name!r} on {len(halves.labels)} rows of the reference; noise gives {error.noise_mean:.2g})"
            )


class _Halves(NamedTuple):
    """Rows on which a calibration is tested, and the uncalibrated probabilities of the rows it was fitted on."""

    probabilities: Numbers
    calibrated: Numbers
    labels: NDArray[np.int64]
    fitted: Numbers


class _CalibrationError(NamedTuple):
    """An expected calibration error, and the mean and the standard deviation that noise gives to it."""

    value: float
    noise_mean: float
    noise_deviation: float


def _halves(calibration: Calibration, probabilities: Numbers, labels: NDArray[np.int64]) -> _Halves:
    if all(curve is None for curve in calibration.curves):
        return _Halves(probabilities, calibration.calibrated(probabilities), labels, probabilities[:0])
    shuffled = np.random.RandomState(_SEED).permutation(len(labels))
    fitted, tested = shuffled[: len(labels) // 2], shuffled[len(labels) // 2 :]
    halved = _refitted(calibration, probabilities[fitted], labels[fitted])
    tested_rows = probabilities[tested]
    return _Halves(tested_rows, halved.calibrated(tested_rows), labels[tested], probabilities[fitted])


def _tested(halves: _Halves, index: int) -> _CalibrationError:
    scores = halves.probabilities[:, index]
    edges = _edges(scores, _TRUST_BINS, _ROWS_OF_TRUST_BIN)
    position, size = np.searchsorted(edges, scores, side="right"), len(edges) + 1
    n = np.bincount(position, minlength=size)
    expected = np.bincount(position, weights=halves.calibrated[:, index], minlength=size)
    real = np.bincount(position, weights=halves.labels == index, minlength=size)
    # Both the expected and the real rows count, and two more of each kind (Agresti and Coull 1998), so that no bin is
    # free of noise.
    share = (expected + real + 2) / (2 * n + 4)
    per_row = 1 / np.maximum(n, 1)
    if len(halves.fitted):
        n_fitted = np.bincount(np.searchsorted(edges, halves.fitted[:, index], side="right"), minlength=size)
        per_row = per_row + 1 / np.maximum(n_fitted, 1)
    noise, weights = np.sqrt(share * (1 - share) * per_row), n / len(scores)
    return _CalibrationError(
        float(np.abs(expected - real).sum() / len(scores)),
        float((weights * noise).sum() * (2 / np.pi) ** 0.5),
        float((weights**2 * noise**2).sum() * (1 - 2 / np.pi)) ** 0.5,
    )


def _refitted(calibration: Calibration, probabilities: Numbers, labels: NDArray[np.int64]) -> Calibration:
    """Return the curves of the same classes, fitted on other rows."""
    sides = _class_against_others(probabilities, labels)
    curves = tuple(
        None if curve is None else fit_curve(scores, is_class)
        for curve, (scores, is_class) in zip(calibration.curves, sides, strict=True)
    )
    return Calibration(curves, len(labels), ())


def _class_against_others(probabilities: Numbers, labels: NDArray[np.int64]) -> list[tuple[Numbers, Flags]]:
    """Return the probability of each class and the rows of it; of two classes only those of the second one."""
    n_classes = probabilities.shape[1]
    return [(probabilities[:, index], labels == index) for index in range(1 if n_classes == 2 else 0, n_classes)]


def _calibrated(curve: IsotonicCurve | None, scores: Numbers) -> Numbers:
    return scores if curve is None else curve(scores)


def _class_scores(probabilities: Numbers) -> list[tuple[Numbers, Flags]]:
    """Return the probability of each class, and in which rows it is the most probable one, by curve."""
    largest = probabilities.max(axis=1)
    first = 1 if probabilities.shape[1] == 2 else 0
    return [(scores, scores == largest) for scores in probabilities.T[first:]]


def _positions(edges: Numbers, scores: Numbers, is_largest: Flags) -> NDArray[np.intp]:
    # Twice as quick as to look up each score: sort, and look up the few edges.
    order = np.argsort(scores)
    starts = np.searchsorted(scores[order], edges, side="left")
    n_by_range = np.diff(starts, prepend=0, append=len(scores))
    ranges = np.empty(len(scores), dtype=np.intp)
    ranges[order] = np.repeat(np.arange(len(n_by_range)), n_by_range)
    return 2 * ranges + is_largest


def _error_bins(scores: Numbers, is_largest: Flags, is_class: Flags, calibrated: Numbers) -> _Bins:
    edges = _edges(scores, _ERROR_BINS, _ROWS_OF_ERROR_BIN)
    position, size = _positions(edges, scores, is_largest), 2 * (len(edges) + 1)
    n = np.bincount(position, minlength=size)
    real, expected = (np.bincount(position, weights=weights, minlength=size) for weights in (is_class, calibrated))
    share = (real + 1) / (n + 2)
    return _Bins(edges, (real - expected) / np.maximum(n, 1), share * (1 - share) / np.maximum(n, 1))


def _edges(scores: Numbers, n_bins: int, n_rows: int) -> Numbers:
    """Return the inner edges of at most `n_bins` bins, of about `n_rows` rows or more: quantiles of the scores."""
    n_bins = max(1, min(n_bins, len(scores) // n_rows))
    edges: Numbers = np.unique(np.quantile(scores, np.arange(1, n_bins) / n_bins, method="higher"))
    return edges
