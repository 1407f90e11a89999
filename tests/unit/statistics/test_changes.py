"""Changes of features, in limits: noise stays below 1, faults are above."""

from collections import Counter

import numpy as np
import pytest

from dcmon.statistics import changes
from dcmon.statistics.columns import Column, CountedColumn, Numbers, NumericColumn, Rows, UnreadColumn


def counted(codes: Numbers, n_null: int = 0) -> CountedColumn:
    return CountedColumn(Counter(f"v{code:.0f}" for code in codes), n_null)


def draw(generator: np.random.Generator, n: int, *, names: int = 8, shift: float = 0.0) -> Rows:
    """Draw 15 numbers that depend on each other and 5 categories."""
    common = generator.normal(size=n)
    features: dict[str, Column] = {
        f"n{index}": NumericColumn(common + generator.normal(size=n) + shift) for index in range(15)
    }
    features |= {f"c{index}": counted(generator.integers(0, names, n).astype(float)) for index in range(5)}
    return Rows(n, features)


def with_feature(rows: Rows, name: str, column: Column) -> Rows:
    return Rows(rows.n, {**rows.features, name: column})


@pytest.fixture(scope="module")
def reference() -> Rows:
    return draw(np.random.default_rng(1), 2000)


@pytest.fixture
def window() -> Rows:
    return draw(np.random.default_rng(2), 400)


def test_two_hundred_windows_of_noise_stay_below_the_limit(reference: Rows) -> None:
    generator = np.random.default_rng(3)
    blocks = changes.block_noise(reference, reference.features)
    assert blocks is not None
    for _ in range(200):
        current = draw(generator, 300)
        distances = changes.distances(current, reference, reference.features)
        mean = changes.mean_drift(distances, blocks, current.n, reference.n)
        rises = [
            *changes.null_rises(current, reference, reference.features).values(),
            *changes.repeated_value_rises(current, reference, reference.features).values(),
            *changes.new_value_rises(current, reference, reference.features).values(),
        ]
        ratios = [*(item.ratio for item in distances.values()), mean, *rises]
        assert all(ratio is not None and ratio <= 1 for ratio in ratios)


@pytest.mark.parametrize("names", [2000, 100_000])
def test_long_tails_of_categories_are_expected(names: int) -> None:
    generator = np.random.default_rng(4)
    reference = draw(generator, 1000, names=names)
    for _ in range(50):
        new = changes.new_value_rises(draw(generator, 500, names=names), reference, reference.features)
        assert all(ratio is not None and ratio < 1 for ratio in new.values())


@pytest.mark.parametrize(
    ("scale", "shift"), [(10, 0), (1, 3), (0, 0)], ids=["times ten", "plus three deviations", "constant"]
)
def test_broken_number_is_far_beyond_noise(reference: Rows, window: Rows, scale: float, shift: float) -> None:
    column = window.features["n0"]
    assert isinstance(column, NumericColumn)
    broken = with_feature(window, "n0", NumericColumn(column.values * scale + shift * 1.4))
    ratios = {name: item.ratio for name, item in changes.distances(broken, reference, broken.features).items()}
    assert [name for name, ratio in ratios.items() if ratio is not None and ratio > 1] == ["n0"]


def test_small_shift_of_all_numbers_is_drift_of_the_mean_only(reference: Rows) -> None:
    blocks = changes.block_noise(reference, reference.features)
    assert blocks is not None
    current = draw(np.random.default_rng(5), 400, shift=0.35)
    distances = changes.distances(current, reference, reference.features)
    mean = changes.mean_drift(distances, blocks, current.n, reference.n)
    assert mean is not None
    assert mean > 1


def test_one_broken_feature_is_no_drift_of_the_mean(reference: Rows, window: Rows) -> None:
    blocks = changes.block_noise(reference, reference.features)
    assert blocks is not None
    broken = with_feature(window, "n0", NumericColumn(np.full(400, 99.0)))
    distances = changes.distances(broken, reference, broken.features)
    mean = changes.mean_drift(distances, blocks, broken.n, reference.n)
    assert mean is not None
    assert mean < 1


def test_noise_of_blocks_is_measured_once_for_a_reference(reference: Rows) -> None:
    first = changes.block_noise(reference, reference.features)
    assert changes.block_noise(reference, reference.features) is first


def test_nulls_that_the_reference_has_too_are_no_rise(window: Rows) -> None:
    """One feature was always null, one goes null, one goes half null."""
    nothing = NumericColumn(np.full(400, np.nan))
    half = NumericColumn(np.where(np.arange(400) % 2, np.nan, 1.0))
    before = with_feature(draw(np.random.default_rng(6), 1000), "n0", NumericColumn(np.full(1000, np.nan)))
    now = with_feature(with_feature(with_feature(window, "n0", nothing), "n1", nothing), "n2", half)
    rises = changes.null_rises(now, before, now.features)
    assert [name for name, ratio in rises.items() if ratio is not None and ratio > 1] == ["n1", "n2"]


def test_frozen_feature_repeats_a_value_and_a_flag_does_not(window: Rows) -> None:
    """A flag that is 0 in 99 of 100 rows may be constant for a day."""
    generator = np.random.default_rng(7)
    flag = NumericColumn((generator.random(1000) < 0.01).astype(float))
    before = with_feature(draw(generator, 1000), "n0", flag)
    now = with_feature(window, "n0", NumericColumn(np.zeros(400)))
    now = with_feature(now, "n1", NumericColumn(np.full(400, 0.25)))
    now = with_feature(now, "c0", CountedColumn({"v3": 400}))
    rises = changes.repeated_value_rises(now, before, now.features)
    assert [name for name, ratio in rises.items() if ratio is not None and ratio > 1] == ["n1", "c0"]


def test_default_for_a_tenth_of_rows_is_a_repeated_value(window: Rows) -> None:
    """Among numbers, beside zeros that are usual, and as a category that was rare."""
    generator = np.random.default_rng(9)
    before, now = draw(generator, 1000), window
    zeros = [np.where(generator.random(n) < 0.6, 0.0, generator.exponential(size=n)) for n in (1000, 400)]
    before = with_feature(before, "n1", NumericColumn(zeros[0]))
    before = with_feature(before, "c0", CountedColumn({"a": 495, "b": 500, "other": 5}))
    is_default = np.arange(400) % 10 == 0
    numbers = window.features["n0"]
    assert isinstance(numbers, NumericColumn)
    now = with_feature(now, "n0", NumericColumn(np.where(is_default, -1.0, numbers.values)))
    now = with_feature(now, "n1", NumericColumn(np.where(is_default, -1.0, zeros[1])))
    now = with_feature(now, "c0", CountedColumn({"a": 175, "b": 180, "other": 45}))
    rises = changes.repeated_value_rises(now, before, now.features)
    assert sorted(name for name, ratio in rises.items() if ratio is not None and ratio > 1) == ["c0", "n0", "n1"]


def test_new_names_and_numbers_out_of_range_are_new_values(reference: Rows, window: Rows) -> None:
    codes = np.random.default_rng(8).integers(0, 8, 400).astype(float)
    numbers = window.features["n1"]
    assert isinstance(numbers, NumericColumn)
    now = with_feature(window, "c0", counted(np.where(codes == 0, 99.0, codes)))
    now = with_feature(now, "n1", NumericColumn(np.where(np.arange(400) % 10 == 0, -999.0, numbers.values)))
    rises = changes.new_value_rises(now, reference, now.features)
    assert sorted(name for name, ratio in rises.items() if ratio is not None and ratio > 1) == ["c0", "n1"]


def test_expected_share_of_unseen_categories_is_good_and_turings() -> None:
    share = changes.expected_unseen(CountedColumn({"a": 5, "b": 1, "c": 1, "d": 2}))
    assert share.value == pytest.approx(2 / 9)
    assert share.n_rows == pytest.approx(9 / 2)
    assert changes.expected_unseen(CountedColumn({"a": 9})).value == 0


def test_too_few_values_have_no_ratio_and_times_are_not_read(reference: Rows, window: Rows) -> None:
    few = np.full(400, np.nan)
    few[:20] = 1.0
    now = with_feature(with_feature(window, "n0", NumericColumn(few)), "t", UnreadColumn())
    before = with_feature(reference, "t", UnreadColumn())
    distances = changes.distances(now, before, now.features)
    assert distances["n0"].ratio is None
    assert "t" not in distances
    assert changes.repeated_value_rises(now, before, ["n0"]) == {"n0": None}
    assert changes.new_value_rises(now, before, ["n0"]) == {"n0": None}
    assert changes.null_rises(now, before, ["t"]) == {"t": 0.0}


def test_small_reference_has_no_blocks() -> None:
    assert changes.block_noise(draw(np.random.default_rng(9), 100), ["n0"]) is None
