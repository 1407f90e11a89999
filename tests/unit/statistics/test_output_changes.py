"""Changes of predictions and scores, in limits."""

import numpy as np
import pytest

from dcmon.statistics import output_changes
from dcmon.statistics.columns import ClassColumn, NumericColumn, Rows

CLASSES = ("no", "yes")


def draw(generator: np.random.Generator, n: int, *, a: float = 2, flipped: float = 0.0) -> Rows:
    """Draw rows of a calibrated binary model; `flipped`: the share of labels that are turned round."""
    probability = generator.beta(a, 5, n)
    labels = (generator.random(n) < probability) ^ (generator.random(n) < flipped)
    predicted = ClassColumn((probability > 0.5).astype(np.int64), CLASSES)
    probabilities = np.column_stack((1 - probability, probability))
    return Rows(n, {}, ClassColumn(labels.astype(np.int64), CLASSES), predicted, probabilities)


def draw_numbers(generator: np.random.Generator, n: int, error: float = 1.0) -> Rows:
    labels = generator.normal(size=n)
    return Rows(n, {}, NumericColumn(labels), NumericColumn(labels + error * generator.standard_t(5, n)))


def test_two_hundred_windows_of_noise_stay_below_the_limit() -> None:
    generator = np.random.default_rng(1)
    reference, numbers = draw(generator, 3000), draw_numbers(generator, 3000)
    for _ in range(200):
        current, values = draw(generator, 300), draw_numbers(generator, 300)
        ratios = [
            *output_changes.prediction_drifts(current, reference, CLASSES).values(),
            *output_changes.score_falls(current, reference, CLASSES).values(),
            *output_changes.score_falls(values, numbers, None).values(),
            *output_changes.prediction_drifts(values, numbers, None).values(),
        ]
        assert all(ratio is not None and ratio <= 1 for ratio in ratios)


def test_flipped_labels_lower_the_score_and_name_the_class() -> None:
    generator = np.random.default_rng(2)
    reference = draw(generator, 3000)
    falls = output_changes.score_falls(draw(generator, 1000, flipped=0.3), reference, CLASSES)
    assert [name for name, ratio in falls.items() if ratio is not None and ratio > 1] == ["accuracy", "precision no"]


def test_better_scores_are_no_fall() -> None:
    generator = np.random.default_rng(3)
    reference = draw(generator, 3000, flipped=0.3)
    assert output_changes.score_falls(draw(generator, 1000), reference, CLASSES)["accuracy"] == 0.0


def test_larger_errors_of_numbers_are_a_fall() -> None:
    generator = np.random.default_rng(4)
    reference = draw_numbers(generator, 3000)
    falls = output_changes.score_falls(draw_numbers(generator, 400, 1.6), reference, None)
    assert all(ratio is not None and ratio > 1 for ratio in falls.values())
    perfect = Rows(100, {}, NumericColumn(np.arange(100.0)), NumericColumn(np.arange(100.0)))
    assert output_changes.score_falls(draw_numbers(generator, 400), perfect, None)["RMSE"] == output_changes.WORST
    assert output_changes.score_falls(perfect, perfect, None)["MAE"] == 0.0


def test_other_probabilities_are_prediction_drift() -> None:
    generator = np.random.default_rng(5)
    drifts = output_changes.prediction_drifts(draw(generator, 1000, a=4), draw(generator, 3000), CLASSES)
    assert list(drifts) == ["prediction", "probability of yes"]
    assert all(ratio is not None and ratio > 1 for ratio in drifts.values())


@pytest.mark.parametrize("n", [1, 20])
def test_class_with_few_rows_has_no_score(n: int) -> None:
    generator = np.random.default_rng(6)
    assert output_changes.score_falls(draw(generator, n), draw(generator, 500), CLASSES) == {}
