"""A description says what changed in a column, in the column's own units."""

import numpy as np

from dcmon.statistics.columns import CountedColumn, NumericColumn, UnreadColumn
from dcmon.statistics.description import describe_change


def test_change_of_numbers_has_means_and_shares_of_nulls() -> None:
    before, now = NumericColumn(np.array([64.0, 66.0])), NumericColumn(np.array([88.0, np.nan]))
    assert describe_change(before, now, 2, 2) == {"nulls": [0.0, 0.5], "mean": [65.0, 88.0], "deviation": [1.0, 0.0]}


def test_change_to_a_null_column_has_no_mean() -> None:
    before, now = NumericColumn(np.array([1.0])), NumericColumn(np.array([np.nan]))
    assert describe_change(before, now, 1, 1) == {"nulls": [0.0, 1.0], "mean": [1.0, None], "deviation": [0.0, None]}


def test_change_of_categories_names_those_that_changed_most() -> None:
    before = CountedColumn({"Oslo": 50, "Rome": 30, "Bonn": 10, "Wien": 10})
    now = CountedColumn({"Oslo": 10, "Rome": 30, "Bonn": 12, "Nice": 40}, n_null=8)
    change = describe_change(before, now, 100, 100)
    assert change == {
        "nulls": [0.0, 0.08],
        "shares": {"Nice": [0.0, 0.4], "Oslo": [0.5, 0.1], "Wien": [0.1, 0.0]},
        "came": 1,
        "went": 1,
    }


def test_change_of_times_has_only_nulls() -> None:
    assert describe_change(UnreadColumn(1), UnreadColumn(4), 4, 4) == {"nulls": [0.25, 1.0]}
