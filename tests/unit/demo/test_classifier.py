"""The classifier of the demo."""

import pandas as pd
import pytest

from dcmon.demo.classifier import TrainedClassifier, train
from dcmon.demo.flights import FEATURES


def test_feature_importances_are_shares_of_one(trained: TrainedClassifier) -> None:
    assert list(trained.importance) == list(FEATURES)
    assert min(trained.importance.values()) >= 0
    assert sum(trained.importance.values()) == pytest.approx(1)
    assert max(trained.importance, key=trained.importance.__getitem__) == "dep_delay"


def test_reference_is_january_to_march_with_predictions(trained: TrainedClassifier) -> None:
    reference = trained.reference
    assert len(reference) == 80_789
    assert set(reference["prediction"]) == {"0", "1"}
    assert reference["probability"].between(0, 1).all()
    assert reference["dep_delay"].isna().any()


def test_classifier_beats_always_on_time_on_unseen_flights(trained: TrainedClassifier) -> None:
    """It is better than predicting "on time" for every flight."""
    on_time = (trained.reference["late"].dropna() == "0").mean()
    assert trained.held_out["accuracy"] > on_time + 0.1
    assert trained.held_out["f1"] > 0.7


def test_training_twice_gives_the_same_classifier(year: pd.DataFrame) -> None:
    few = year[year["month"] <= 3].iloc[::8]
    first, second = train(few), train(few)
    assert first.importance == second.importance
    pd.testing.assert_frame_equal(first.reference, second.reference)


def test_unknown_destination_and_missing_values_are_predicted(predicted: pd.DataFrame) -> None:
    assert predicted["probability"].notna().all()
    assert ((predicted["prediction"] == "1") == (predicted["probability"] > 0.5)).mean() > 0.9999
