"""Numbers of each feature: nulls, new categories, spellings, and features whose drift rows do not determine."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.statistics import features
from dcmon.statistics.columns import Column, CountedColumn, NumericColumn, Rows, UnreadColumn
from dcmon.statistics.drift import DriftParameters
from dcmon.statistics.errors import InvalidParameter, TooFewValues, Undefined
from tests.helpers.examples import examples


def rows(n: int, **columns: Column) -> Rows:
    return Rows(n, columns)


def test_null_shares_count_nulls_of_each_type() -> None:
    current = rows(
        4, number=NumericColumn(np.array([1, np.nan, np.nan, 2])), text=CountedColumn({"a": 3}, 1), time=UnreadColumn(4)
    )
    assert features.null_shares(current, current.features) == {"number": 0.5, "text": 0.25, "time": 1.0}


@pytest.mark.parametrize("value", ["new", True, False])
def test_new_category_counts_its_rows(value: object) -> None:
    """Null is no category, and a boolean is one."""
    current, compared = rows(10, plan=CountedColumn({value: 4}, 6)), rows(9, plan=CountedColumn({"old": 8}, 1))
    assert features.new_category_shares(current, compared, ["plan"]) == {"plan": 0.4}


def test_mixed_nulls_are_counted_if_there_are_two_spellings() -> None:
    current = rows(
        20,
        both=CountedColumn({"N/A": 2, "free": 15}, 3),
        words=CountedColumn({"null": 1, "NaN": 2, "x": 17}),
        one=CountedColumn({"null": 5, "x": 15}),
        nulls=CountedColumn({"x": 15}, 5),
    )
    expected = {"both": 0.25, "words": 0.15, "one": 0.0, "nulls": 0.0}
    assert features.mixed_null_shares(current, current.features) == pytest.approx(expected, abs=1e-12)


def test_words_for_null_are_the_users_if_given() -> None:
    current = rows(10, plan=CountedColumn({"free": 2, "null": 3, "pro": 4}, 1))
    assert features.mixed_null_shares(current, ["plan"], ["free"]) == {"plan": pytest.approx(0.3, abs=1e-12)}
    with pytest.raises(InvalidParameter, match="null_string_list is a list of texts"):
        features.mixed_null_shares(current, ["plan"], [3])  # type: ignore[list-item]


def test_spellings_of_one_word_are_mismatched() -> None:
    current = rows(
        20,
        city=CountedColumn({"Ok": 3, "O.K.": 4, "late": 13}),
        number=CountedColumn({"1": 10, "1.0": 10}),
        mixed=CountedColumn({"1": 9, " 1": 8, "one": 3}),
        flag=CountedColumn({True: 20}),
    )
    expected = {"city": 0.35, "mixed": 0.85}
    assert features.mismatched_shares(current, current.features) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("text", ["1", " -1 ", "1e5", ".5", "1.", "+2.5E-3", "inf", "-Infinity", "", str(2**64 - 1)])
def test_column_of_number_texts_has_no_spellings(text: str) -> None:
    assert features.mismatched_shares(rows(1, x=CountedColumn({text: 1})), ["x"]) == {}


@pytest.mark.parametrize("text", ["one", "1e400", "9" * 30, str(-(2**63) - 1), "1_000", "0x10", "1,5", "٣", "--1"])
def test_column_with_other_texts_has_spellings(text: str) -> None:
    assert features.mismatched_shares(rows(1, x=CountedColumn({text: 1})), ["x"]) == {"x": 0.0}


@settings(max_examples=examples(100))
@given(st.text())
def test_base_form_keeps_only_letters_and_digits(text: str) -> None:
    kept = "".join(filter(str.isalnum, text))
    assert features.base_form(text) == (kept.lower() or text)
    if kept:
        assert features.base_form(f"-{text}.") == features.base_form(text)


@pytest.mark.parametrize(
    ("text", "base"), [("O.K.", "ok"), ("N/A", "na"), ("--", "--"), ("", ""), ("Ωmega 1", "ωmega1")]
)
def test_base_form_of_a_text(text: str, base: str) -> None:
    assert features.base_form(text) == base


def _reference() -> Rows:
    numbers = NumericColumn(np.arange(2000.0))
    return rows(2000, amount=numbers, city=CountedColumn({f"c{index}": 50 for index in range(40)}))


def test_feature_whose_rows_determine_no_drift_has_no_value() -> None:
    """Eleven rows against forty categories leave no row of the reference; the other feature keeps its value."""
    current = rows(11, amount=NumericColumn(np.arange(11.0)), city=CountedColumn({"new": 11}))
    parameters = DriftParameters(min_category_size_ratio=0)
    values = features.drifts(current, _reference(), ["amount", "city"], parameters)
    assert values == {"amount": pytest.approx(1989 / 2000, abs=1e-12), "city": None}
    with pytest.raises(Undefined, match="one side has no row"):
        features.drifts(current, _reference(), ["city"], parameters)


@pytest.mark.parametrize("min_samples", [0, 1, 12])
def test_feature_with_too_few_values_has_no_drift(min_samples: int) -> None:
    """Each side needs at least one value, also with min_samples 0."""
    current = rows(11, amount=NumericColumn(np.full(11, np.nan)), city=CountedColumn({}, 11))
    with pytest.raises(TooFewValues, match=f"No feature has {max(1, min_samples)} values"):
        features.drifts(current, _reference(), ["amount", "city"], DriftParameters(min_samples=min_samples))


def test_nulls_are_a_category_if_they_are_not_ignored() -> None:
    current, compared = rows(100, city=CountedColumn({"a": 50}, 50)), rows(100, city=CountedColumn({"a": 100}))
    ignoring, counting = (
        features.drifts(current, compared, ["city"], DriftParameters(ignore_na=ignore_na))
        for ignore_na in (True, False)
    )
    assert ignoring == {"city": 0.0}
    assert (counting["city"] or 0) > 0.5
