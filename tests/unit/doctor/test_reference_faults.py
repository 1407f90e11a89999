"""What makes a reference unlike production: two sides with next to nothing in common, in every window."""

from typing import Any

import pytest

from dcmon.doctor.reference_faults import FEW, is_unlike, unlike_features

NO_NULLS = {"nulls": [0.0, 0.0]}
UNITS = {**NO_NULLS, "mean": [40.0, 40_000.0], "deviation": [9.0, 9_000.0]}
SPELLINGS = {**NO_NULLS, "shares": {"NO": [0.6, 0.0], "no": [0.0, 0.58], "SE": [0.4, 0.0]}, "came": 2, "went": 2}
SHIFT = {**NO_NULLS, "mean": [40.0, 55.0], "deviation": [9.0, 9.0]}


@pytest.mark.parametrize(
    ("change", "unlike"),
    [
        (UNITS, True),
        (SPELLINGS, True),
        ({"nulls": [1.0, 0.02], "mean": [None, 40.0], "deviation": [None, 9.0]}, True),
        ({**NO_NULLS, "mean": [0.0, 40.0], "deviation": [0.0, 9.0]}, True),
        (SHIFT, False),
        ({"nulls": [0.0, 0.9], "mean": [40.0, 41.0], "deviation": [9.0, 9.0]}, False),
        ({"nulls": [1.0, 1.0], "mean": [None, None]}, False),
        ({**NO_NULLS, "mean": [5.0, 5.0], "deviation": [0.0, 0.0]}, False),
        ({**NO_NULLS, "shares": {"NO": [0.6, 0.1], "DK": [0.0, 0.5]}, "came": 1, "went": 0}, False),
        ({**NO_NULLS, "shares": {"a7": [0.001, 0.0], "b8": [0.0, 0.001]}, "came": 900, "went": 900}, False),
        ({}, False),
    ],
)  # fmt: skip
def test_change_of_everything_is_unlike(change: dict[str, Any], unlike: bool) -> None:
    assert is_unlike(change) is unlike


ALWAYS = [{"income": UNITS}] * FEW


def test_features_unlike_in_each_window_are_found() -> None:
    assert unlike_features([{"income": UNITS, "age": SHIFT}, *ALWAYS]) == {"income": UNITS}
    assert unlike_features(ALWAYS[:-1]) == {}, "a few windows say nothing yet"


@pytest.mark.parametrize("window", [{"income": SHIFT}, {"age": UNITS}, {}])
@pytest.mark.parametrize("place", [0, 3, FEW])
def test_one_window_like_the_reference_is_enough_to_trust_it(window: dict[str, Any], place: int) -> None:
    """Production may have changed since. A feature that hardly changed is not among those that a window describes."""
    assert unlike_features([*ALWAYS[:place], window, *ALWAYS[place:]]) == {}


def test_spikes_in_some_windows_are_no_wrong_reference() -> None:
    assert unlike_features([*ALWAYS, *[{"age": SHIFT}] * 20]) == {}
