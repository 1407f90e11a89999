"""A message describes the change of a feature in its own units."""

from typing import Any

import pytest

from dcmon.notifications.integrations.feature_change import feature_change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nulls": [0.0, 0.51], "mean": [65.0, 88.0], "deviation": [3.0, 3.1]}, "mean 65 → 88, nulls 0 % → 51 %"),
        ({"nulls": [0, 0], "mean": [5.0, 5.0], "deviation": [2.0, 0.0]}, "mean 5 → 5, standard deviation 2 → 0"),
        ({"nulls": [0.0, 1.0], "mean": [5.0, None], "deviation": [2.0, None]}, "mean 5 → none, nulls 0 % → 100 %"),
        (
            {"nulls": [0.1, 0.1], "shares": {"Oslo": [0.5, 0.1]}, "came": 1, "went": 2},
            "Oslo 50 % → 10 %, 1 new category, 2 categories gone",
        ),
        ({"score": [0.7125, 0.53333]}, "score 0.7125 → 0.5333"),
        ({}, ""),
    ],
)
def test_change_is_said_in_units_of_the_feature(change: dict[str, Any], words: str) -> None:
    assert feature_change(change) == words
