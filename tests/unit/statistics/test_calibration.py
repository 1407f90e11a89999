"""Isotonic calibration, and references whose calibration can't be trusted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dcmon.statistics import calibration
from dcmon.statistics.calibration import Calibration
from dcmon.statistics.errors import TooFewValues, Untrusted
from dcmon.statistics.isotonic import fit_curve
from dcmon.statistics.roc import area
from tests.helpers.examples import examples
from tests.unit.statistics.simulated_models import Model, Rows, binary_rows, logistic, multiclass_rows

POINTS = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=40)


@settings(max_examples=examples(100))
@given(POINTS)
def test_curve_is_the_minimax_of_means(points: list[tuple[int, bool]]) -> None:
    """The isotonic regression at a point is max over starts of the min over ends of the mean between (Barlow 1972)."""
    scores = np.array([score for score, _ in points], dtype=float)
    is_positive = np.array([flag for _, flag in points])
    distinct = np.unique(scores)

    def mean(start: float, end: float) -> float:
        return float(is_positive[(scores >= start) & (scores <= end)].mean())

    expected = [
        max(min(mean(start, end) for end in distinct if end >= at) for start in distinct if start <= at)
        for at in distinct
    ]
    np.testing.assert_allclose(fit_curve(scores, is_positive)(distinct), expected, atol=1e-12)


def test_curve_of_a_late_low_value_is_pooled_one_by_one() -> None:
    """Shares that rise slowly, and a last point below all: pooling in runs alone would take a pass for each point."""
    n = 2_000
    scores = np.repeat(np.arange(n + 1.0), 1000)
    is_positive = np.concatenate([np.arange(1000) < share for share in (*np.linspace(0, 999, n).astype(int), 0)])
    curve = fit_curve(scores, is_positive)
    shares = curve(np.arange(n + 1.0))
    assert (np.diff(shares) >= 0).all()
    assert shares.sum() == pytest.approx(is_positive.sum() / 1000)
    assert len(curve.scores) < n


def test_curve_is_straight_between_points_and_flat_beyond() -> None:
    curve = fit_curve(np.array([0.2, 0.4]), np.array([False, True]))
    np.testing.assert_allclose(curve(np.array([0.0, 0.25, 0.4, 1.0])), [0, 0.25, 1, 1])


def test_scores_within_the_resolution_are_one_point() -> None:
    """Probabilities that a softmax drives to 0 differ by less than 1e-15, which scikit-learn takes for equal."""
    curve = fit_curve(np.array([1e-20, 3e-17, 8e-16, 0.5]), np.array([False, True, False, True]))
    np.testing.assert_allclose(curve.scores, [1e-20, 0.5])
    np.testing.assert_allclose(curve.shares, [1 / 3, 1])


@settings(max_examples=examples(100))
@given(POINTS.filter(lambda points: len({flag for _, flag in points}) == 2))
def test_area_of_labels_is_the_share_of_ordered_pairs(points: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in points], dtype=float)
    is_positive = np.array([flag for _, flag in points])
    above = np.sign(scores[is_positive][:, np.newaxis] - scores[~is_positive][np.newaxis, :])
    assert area(scores, is_positive) == pytest.approx(((above + 1) / 2).mean())


def test_calibrated_probabilities_sum_to_one() -> None:
    rows = multiclass_rows(Model(np.random.default_rng(1), 2_000, sharpness=2.0))
    calibrated = calibration.fit(rows.probabilities, rows.labels).calibrated(rows.probabilities)
    np.testing.assert_allclose(calibrated.sum(axis=1), 1)
    assert calibrated.max(axis=1).mean() == pytest.approx((rows.labels == rows.predictions).mean(), abs=0.02)


def test_row_that_no_class_expects_gets_equal_probabilities() -> None:
    rows = multiclass_rows(Model(np.random.default_rng(1), 2_000, sharpness=6.0))
    fitted = calibration.fit(rows.probabilities, rows.labels)
    assert all(curve is not None for curve in fitted.curves)
    zero = Calibration(
        tuple(fit_curve(np.array([0.0, 1.0]), np.array([False, True])) for _ in range(3)), fitted.n, fitted._bins
    )
    np.testing.assert_allclose(zero.calibrated(np.zeros((1, 3))), 1 / 3)


def test_perfect_scores_and_single_classes_need_no_calibration() -> None:
    scores = np.linspace(0, 1, 100)
    assert not calibration.needs_calibration(scores, scores > 0.5)
    assert not calibration.needs_calibration(scores, scores > 2)
    assert not calibration.needs_calibration(scores, scores > -1)


def test_over_confident_model_needs_calibration() -> None:
    for seed in range(50):
        rows = binary_rows(Model(np.random.default_rng(seed), 2_000, sharpness=2.0))
        assert calibration.needs_calibration(rows.probabilities[:, 1], rows.labels == 1)


def test_small_references_are_refused() -> None:
    rows = binary_rows(Model(np.random.default_rng(1), 49))
    with pytest.raises(TooFewValues, match="49 rows"):
        calibration.fit(rows.probabilities, rows.labels)
    labels = np.zeros(100, dtype=np.int64)
    labels[3] = 1
    scores = np.random.default_rng(2).random(100)
    with pytest.raises(TooFewValues, match="fewer than two rows of a class"):
        calibration.fit(np.column_stack((1 - scores, scores)), labels)


def is_trusted(fitted: Calibration, rows: Rows) -> bool:
    try:
        calibration.require_trust(fitted, rows.probabilities, rows.labels, "abc"[: rows.probabilities.shape[1]])
    except Untrusted:
        return False
    return True


def without_curves(fitted: Calibration) -> Calibration:
    return Calibration(tuple(None for _ in fitted.curves), fitted.n, fitted._bins)


@pytest.mark.parametrize("n", [100, 1_000, 5_000])
def test_right_probabilities_are_never_refused(n: int) -> None:
    """In 200 references, with the curves that the rule asks for and without any."""
    for seed in range(200):
        rows = (binary_rows if seed % 2 else multiclass_rows)(Model(np.random.default_rng(seed), n))
        fitted = calibration.fit(rows.probabilities, rows.labels)
        assert is_trusted(fitted, rows)
        assert is_trusted(without_curves(fitted), rows)


def test_over_confident_probabilities_are_always_refused() -> None:
    """In 200 references, as they are; with the curve that they need they are trusted."""
    for seed in range(200):
        rows = binary_rows(Model(np.random.default_rng(seed), 3_000, sharpness=2.0))
        fitted = calibration.fit(rows.probabilities, rows.labels)
        assert fitted.curves[0] is not None
        assert is_trusted(fitted, rows)
        assert not is_trusted(without_curves(fitted), rows)


def test_scores_that_do_not_rise_with_the_truth_are_refused() -> None:
    """The model is most confident where it is most often wrong, which no rising curve can mend."""
    for seed in range(50):
        rows = _confident_where_wrong(np.random.default_rng(seed), 12_000)
        assert not is_trusted(calibration.fit(rows.probabilities, rows.labels), rows)


def test_timid_perfect_model_is_refused() -> None:
    """The area is above 0.999, so the rule asks for no curve, though 0.4 and 0.6 stand for never and always."""
    labels = np.arange(1_000) % 2
    scores = 0.4 + 0.2 * labels + np.random.default_rng(1).uniform(0, 0.01, 1_000)
    rows = Rows(np.column_stack((1 - scores, scores)), labels, labels)
    with pytest.raises(Untrusted, match=r"can't be estimated: the calibration is off by 0\.4 "):
        calibration.require_trust(
            calibration.fit(rows.probabilities, labels), rows.probabilities, labels, ["no", "yes"]
        )


def _confident_where_wrong(random: np.random.Generator, n: int) -> Rows:
    stated = logistic(random.normal(size=n) * 2)
    true: NDArray[np.float64] = np.where(stated > 0.9, 0.2, stated)
    labels = (random.random(n) < true).astype(np.int64)
    return Rows(np.column_stack((1 - stated, stated)), labels, (stated > 0.5).astype(np.int64))


def test_rows_of_equal_probability_keep_the_order_of_the_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sort that leaves them in an order of its own, as some processors' do, must not decide about the curve."""
    random = np.random.default_rng(11)
    scores = np.round(random.random(2_000), 1)
    is_class = random.random(2_000) < scores
    error = calibration._calibration_error(scores, is_class)
    sort = np.argsort

    def unstable(values: NDArray[np.float64], kind: str | None = None) -> NDArray[np.intp]:
        return sort(values, kind="stable") if kind == "stable" else len(values) - 1 - sort(values[::-1], kind="stable")

    monkeypatch.setattr(np, "argsort", unstable)
    assert calibration._calibration_error(scores, is_class) == error
