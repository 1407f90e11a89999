"""Estimates of performance equal NannyML's, and their intervals hold."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from dcmon.statistics import calibration
from dcmon.statistics.calibration import Calibration
from dcmon.statistics.errors import InvalidParameter, Undefined
from dcmon.statistics.estimated_performance import (
    SCORERS,
    Estimate,
    ExpectedRows,
    estimated_score,
    estimated_scores_per_class,
)
from tests.unit.statistics.simulated_models import Model, Rows, binary_rows, multiclass_rows, realised_score

FIXTURE = Path(__file__).parent / "fixtures" / "nannyml_cbpe.npz"
BINARY = ("car_loan", "employment", "binary_right", "binary_over_confident")
MULTICLASS = ("cards", "cards_with_ties", "multiclass_right", "multiclass_over_confident")
UNIT = 100_000_000


class Recorded(NamedTuple):
    """A case of NannyML: see make_nannyml_cbpe.py."""

    calibration: Calibration
    windows: list[ExpectedRows]
    needs_calibration: list[bool]
    estimates: dict[str, list[float]]


@cache
def recorded(name: str) -> Recorded:
    with np.load(FIXTURE) as arrays:
        case = {field: arrays[f"{name}/{field}"] for field in ("reference", "labels", "windows", "predictions")}
        needs, scores = arrays[f"{name}/needs_calibration"].tolist(), arrays["scores"].tolist()
        estimates = dict(zip(scores, arrays[f"{name}/estimates"].T.tolist(), strict=True))
        rows = int(arrays["rows"])
    fitted = calibration.fit(probabilities(case["reference"]), case["labels"].astype(np.int64))
    found, predictions = probabilities(case["windows"]), case["predictions"].astype(np.int64)
    windows = [
        ExpectedRows(found[start : start + rows], predictions[start : start + rows], fitted)
        for start in range(0, len(found), rows)
    ]
    return Recorded(fitted, windows, needs, estimates)


def probabilities(units: NDArray[np.uint32]) -> NDArray[np.float64]:
    columns = units / UNIT
    return np.column_stack((1 - columns, columns)) if columns.shape[1] == 1 else columns


def scorer(metric: str, case: str) -> str:
    return metric if case in BINARY or metric in {"accuracy", "roc_auc"} else f"{metric}_macro"


def tolerance(metric: str, case: str) -> float:
    """NannyML takes rows of equal probability in the order of an unstable sort, which differs between processors."""
    columns = [column for window in recorded(case).windows for column in window.uncalibrated.T]
    has_ties = case in MULTICLASS and any(len(np.unique(column)) < len(column) for column in columns)
    return 1e-4 if has_ties and "roc_auc" in metric else 1e-9


@pytest.mark.parametrize("case", [*BINARY, *MULTICLASS])
def test_needs_calibration_decides_like_nannyml(case: str) -> None:
    known = recorded(case)
    assert [curve is not None for curve in known.calibration.curves] == known.needs_calibration


@pytest.mark.parametrize("n_columns", [1, 3])
def test_fixture_has_all_branches_of_calibration(n_columns: int) -> None:
    """Of binary and multiclass models: with a curve, and without any."""
    cases = [recorded(case) for case in (BINARY if n_columns == 1 else MULTICLASS)]
    assert {needs for known in cases for needs in known.needs_calibration} == {True, False}
    assert any(not any(known.needs_calibration) for known in cases)


@pytest.mark.parametrize("metric", ["accuracy", "precision", "recall", "f1", "roc_auc"])
@pytest.mark.parametrize("case", [*BINARY, *MULTICLASS])
def test_estimates_equal_those_of_nannyml(case: str, metric: str) -> None:
    known = recorded(case)
    estimates = [estimated_score(scorer(metric, case), window).value for window in known.windows]
    np.testing.assert_allclose(estimates, known.estimates[metric], rtol=0, atol=tolerance(metric, case))


@pytest.mark.parametrize("case", ["cards", "multiclass_right"])
def test_multiclass_area_is_compared_without_ties(case: str) -> None:
    assert tolerance("roc_auc", case) == 1e-9


@pytest.mark.parametrize("case", ["car_loan", "cards_with_ties", "multiclass_over_confident"])
@pytest.mark.parametrize("name", SCORERS)
def test_estimates_ignore_the_order_of_rows(case: str, name: str) -> None:
    window = recorded(case).windows[0]
    order = np.random.default_rng(3).permutation(window.n)
    shuffled = ExpectedRows(window.uncalibrated[order], window.predictions[order], window.calibration)
    try:
        before = _values(name, window)
    except InvalidParameter:
        with pytest.raises(InvalidParameter):
            _values(name, shuffled)
        return
    np.testing.assert_allclose(_values(name, shuffled), before, rtol=0, atol=1e-9)


def _values(name: str, window: ExpectedRows) -> list[Estimate]:
    if not name.endswith("_per_class"):
        return [estimated_score(name, window)]
    return [estimate for estimate in estimated_scores_per_class(name, window) if estimate is not None]


@pytest.mark.parametrize("metric", ["precision", "recall", "f1", "roc_auc"])
def test_macro_is_the_mean_of_the_scores_per_class(metric: str) -> None:
    window = recorded("cards").windows[0]
    each = [estimate.value for estimate in estimated_scores_per_class(f"{metric}_per_class", window) if estimate]
    assert len(each) == 3
    assert estimated_score(scorer(metric, "cards"), window).value == pytest.approx(np.mean(each), abs=1e-12)


def test_accuracy_has_the_interval_of_its_formula() -> None:
    """1.96 standard errors around the estimate without its bias: sum(p (1 - p)) / n^2, and the reference's variance."""
    window = recorded("car_loan").windows[0]
    of_predicted = window.probabilities[window.predictions, np.arange(window.n)]
    of_rows = (of_predicted * (1 - of_predicted)).sum() / window.n**2
    of_reference = window.calibration.error(
        window.calibration.bins(window.uncalibrated), window.is_predicted / window.n
    )
    estimate = estimated_score("accuracy", window)
    margin = 1.959963984540054 * (of_rows + of_reference.variance) ** 0.5
    assert abs(of_reference.bias) < margin
    assert estimate.high - estimate.value == pytest.approx(margin + of_reference.bias)
    assert estimate.value - estimate.low == pytest.approx(margin - of_reference.bias)


@pytest.mark.parametrize("case", MULTICLASS)
@pytest.mark.parametrize("name", ["accuracy", "precision_macro", "recall_macro", "f1_macro", "roc_auc"])
def test_interval_contains_the_estimate(case: str, name: str) -> None:
    for window in recorded(case).windows:
        estimate = estimated_score(name, window)
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


@pytest.mark.parametrize("name", ["precision", "recall", "f1", "roc_auc"])
def test_gradient_is_the_derivative_of_the_estimate(name: str) -> None:
    """The variance of the delta method equals the one found by moving each row's probability a little."""
    random = np.random.default_rng(11)
    p = random.uniform(0.1, 0.9, 40)
    fitted = calibration.Calibration((None,), 1000, _bins_without_error())

    def estimate(moved: NDArray[np.float64]) -> Estimate:
        # The order of the scores, which do not move, decides about the area under the curve.
        rows = ExpectedRows(np.column_stack((1 - p, p)), (p > 0.5).astype(np.int64), fitted)
        rows.__dict__["probabilities"] = np.array((1 - moved, moved))
        return estimated_score(name, rows)

    step = 1e-2
    slopes = np.array(
        [(estimate(p + step * row).value - estimate(p - step * row).value) / (2 * step) for row in np.eye(len(p))]
    )
    expected = (slopes**2 * p * (1 - p)).sum() ** 0.5
    found = estimate(p)
    assert (found.high - found.value) / 1.959963984540054 == pytest.approx(expected, rel=0.02)


def _bins_without_error() -> tuple:
    return (calibration._Bins(np.zeros(0), np.zeros(2), np.zeros(2)),)


REFERENCE_ROWS, ROWS, REFERENCES = 5_000, 2_000, 200
SHIFTS = (-0.9, -0.6, -0.3, 0.0, 0.3, 0.6, 0.9, 1.2)
BINARY_SCORERS = ("accuracy", "precision", "recall", "f1", "roc_auc")
MULTICLASS_SCORERS = ("accuracy", "precision_macro", "recall_macro", "f1_macro", "roc_auc")


@pytest.mark.parametrize(
    ("rows_of", "sharpness", "scorers"),
    [
        (binary_rows, 1.7, BINARY_SCORERS),
        pytest.param(binary_rows, 1.0, BINARY_SCORERS, marks=pytest.mark.thorough),
        pytest.param(multiclass_rows, 1.0, MULTICLASS_SCORERS, marks=pytest.mark.thorough),
        pytest.param(multiclass_rows, 2.5, MULTICLASS_SCORERS, marks=pytest.mark.thorough),
        pytest.param(multiclass_rows, 0.4, MULTICLASS_SCORERS, marks=pytest.mark.thorough),
    ],
)
def test_intervals_hold_under_covariate_shift(
    rows_of: Callable[[Model], Rows], sharpness: float, scorers: tuple[str, ...]
) -> None:
    """In a window of each of 200 references, whose features move and whose labels depend on them as before.

    The intervals are of 95 %; of 200 windows 93 % and more are expected to be inside.
    """
    hits = dict.fromkeys(scorers, 0)
    for seed in range(REFERENCES):
        random = np.random.default_rng(seed)
        reference = rows_of(Model(random, REFERENCE_ROWS, 0.0, sharpness))
        fitted = calibration.fit(reference.probabilities, reference.labels)
        window = rows_of(Model(random, ROWS, SHIFTS[seed % len(SHIFTS)], sharpness))
        rows = ExpectedRows(window.probabilities, window.predictions, fitted)
        for name in scorers:
            estimate = estimated_score(name, rows)
            hits[name] += estimate.low <= realised_score(name, window) <= estimate.high
    assert {name: hit for name, hit in hits.items() if hit < 0.93 * REFERENCES} == {}


def test_gap_shows_a_concept_shift_and_nothing_else() -> None:
    """Of 365 windows whose features move none has a gap of 3 points; two with a shift of 5 points both have it."""
    random = np.random.default_rng(3)
    reference = binary_rows(Model(random, REFERENCE_ROWS))
    fitted = calibration.fit(reference.probabilities, reference.labels)

    def gap(rows: Rows) -> float:
        estimate = estimated_score("accuracy", ExpectedRows(rows.probabilities, rows.predictions, fitted))
        return realised_score("accuracy", rows) - estimate.value

    quiet = [gap(binary_rows(Model(random, 5_000, shift=0.2 * (day % 5)))) for day in range(365)]
    assert min(quiet) > -0.03
    assert max(quiet) < 0.03
    for _ in range(2):
        rows = binary_rows(Model(random, 5_000))
        changed = random.choice(np.flatnonzero(rows.labels == rows.predictions), 250, replace=False)
        labels = rows.labels.copy()
        labels[changed] = 1 - labels[changed]
        assert gap(rows._replace(labels=labels)) < -0.03


def test_score_without_predictions_of_the_class_is_undefined() -> None:
    random = np.random.default_rng(6)
    reference = binary_rows(Model(random, 500))
    fitted = calibration.fit(reference.probabilities, reference.labels)
    rows = ExpectedRows(reference.probabilities, np.zeros(500, dtype=np.int64), fitted)
    with pytest.raises(Undefined):
        estimated_score("precision", rows)
    assert estimated_score("recall", rows).value == 0
    per_class = estimated_scores_per_class("precision_per_class", rows)
    assert per_class[0] is not None
    assert per_class[1] is None


def test_unknown_and_unfit_scorers_are_refused() -> None:
    binary, cards = recorded("car_loan").windows[0], recorded("cards").windows[0]
    for name, rows in (("brier", binary), ("roc_auc_macro", cards), ("precision", cards)):
        with pytest.raises(InvalidParameter):
            estimated_score(name, rows)
    with pytest.raises(InvalidParameter):
        estimated_scores_per_class("accuracy_per_class", cards)
    with pytest.raises(InvalidParameter):
        ExpectedRows(cards.uncalibrated, cards.predictions, binary.calibration)
    with pytest.raises(Undefined):
        ExpectedRows(binary.uncalibrated[:0], binary.predictions[:0], binary.calibration)


def test_unknown_prediction_counts_as_wrong() -> None:
    cards = recorded("cards").windows[0]
    unknown = ExpectedRows(cards.uncalibrated, np.full(cards.n, -1), cards.calibration)
    assert estimated_score("accuracy", unknown).value == 0
