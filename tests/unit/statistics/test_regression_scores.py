"""Scores of predicted numbers agree with their formulas, computed row by row."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.statistics.columns import NumericColumn, Rows
from dcmon.statistics.errors import InvalidParameter, Undefined
from dcmon.statistics.scorers import REGRESSION_SCORERS, regression_score
from tests.helpers.examples import examples

POSITIVE = st.integers(1, 40).map(lambda number: number / 4)
PAIRS = st.lists(st.tuples(POSITIVE, POSITIVE), min_size=2, max_size=30)


def score(name: str, pairs: list[tuple[float, float]]) -> float:
    labels, predictions = np.array(pairs, dtype=float).T
    return regression_score(name, Rows(len(pairs), {}, NumericColumn(labels), NumericColumn(predictions)))


@settings(max_examples=examples(50))
@given(PAIRS)
def test_regression_scores_are_means_over_rows(pairs: list[tuple[float, float]]) -> None:
    n, errors = len(pairs), [y - p for y, p in pairs]
    mse = sum(error**2 for error in errors) / n
    mae = sum(map(abs, errors)) / n
    expected = {
        "mse": mse,
        "mean_squared_error": mse,
        "neg_mse": -mse,
        "neg_mean_squared_error": -mse,
        "rmse": math.sqrt(mse),
        "root_mean_squared_error": math.sqrt(mse),
        "neg_rmse": -math.sqrt(mse),
        "neg_root_mean_squared_error": -math.sqrt(mse),
        "mae": mae,
        "mean_absolute_error": mae,
        "neg_mae": -mae,
        "neg_mean_absolute_error": -mae,
        "max_error": -max(map(abs, errors)),
        "neg_median_absolute_error": -statistics.median(map(abs, errors)),
        "neg_mean_absolute_percentage_error": -sum(abs(y - p) / y for y, p in pairs) / n,
        "neg_mean_squared_log_error": -sum((math.log1p(y) - math.log1p(p)) ** 2 for y, p in pairs) / n,
        "neg_mean_poisson_deviance": -sum(2 * (y * math.log(y / p) - y + p) for y, p in pairs) / n,
        "neg_mean_gamma_deviance": -sum(2 * (math.log(p / y) + y / p - 1) for y, p in pairs) / n,
        "r2": _r2(pairs),
        "explained_variance": _explained(pairs),
    }
    assert expected.keys() == REGRESSION_SCORERS.keys()
    for name, value in expected.items():
        assert score(name, pairs) == pytest.approx(value, rel=1e-9, abs=1e-9), name


def _r2(pairs: list[tuple[float, float]]) -> float:
    mean = sum(y for y, _ in pairs) / len(pairs)
    total, wrong = sum((y - mean) ** 2 for y, _ in pairs), sum((y - p) ** 2 for y, p in pairs)
    return 1 - wrong / total if total else float(not wrong)


def _explained(pairs: list[tuple[float, float]]) -> float:
    error, total = statistics.pvariance([y - p for y, p in pairs]), statistics.pvariance([y for y, _ in pairs])
    return 1 - error / total if total else float(not error)


@pytest.mark.parametrize("name", [name for name in REGRESSION_SCORERS if name not in ("r2", "explained_variance")])
def test_perfect_predictions_have_no_error(name: str) -> None:
    assert score(name, [(1.0, 1.0), (2.5, 2.5)]) == pytest.approx(0, abs=1e-12)


def test_rows_without_label_or_prediction_are_left_out() -> None:
    assert score("mae", [(1.0, 2.0), (math.nan, 9.0), (9.0, math.nan), (5.0, 5.0)]) == 0.5
    with pytest.raises(Undefined, match="No row has a label and a prediction"):
        score("mae", [(math.nan, 1.0), (1.0, math.nan)])


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("neg_mean_squared_log_error", (-1.0, 1.0)),
        ("neg_mean_poisson_deviance", (1.0, 0.0)),
        ("neg_mean_gamma_deviance", (0.0, 1.0)),
    ],
)
def test_number_outside_of_a_formula_is_undefined(name: str, pair: tuple[float, float]) -> None:
    with pytest.raises(Undefined):
        score(name, [pair, (1.0, 1.0)])


def test_r2_of_one_row_is_undefined() -> None:
    with pytest.raises(Undefined, match="It needs two rows"):
        score("r2", [(1.0, 2.0)])


def test_unknown_scorer_of_a_regression_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="accuracy is unknown"):
        score("accuracy", [(1.0, 1.0)])
