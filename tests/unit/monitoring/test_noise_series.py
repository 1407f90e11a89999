"""Series of windows without a change: how many are drawn, and what they have in common."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.checks.catalogue import by_class
from dcmon.checks.resampling import ResampledCheck
from dcmon.checks.workload import CheckRequest, RowsKey
from dcmon.monitoring import noise_series
from dcmon.monitoring.noise_series import DrawPlan
from dcmon.monitoring.noise_source import NoiseSource
from dcmon.windows import ComparedWith, Frequency
from tests.helpers.check_rows import make_layout, make_rows
from tests.helpers.examples import examples
from tests.helpers.packed_rows import packed

REFERENCE_ROWS = 200


def source(class_name: str = "FeatureDrift", sizes: tuple[int, ...] = (100,), n_features: int = 6) -> NoiseSource:
    kind, layout = by_class(class_name), make_layout("binary")
    assert kind is not None
    key = RowsKey(1, 1, None, 1, "null", False, None)
    compared = key if kind.needs_reference else None
    request = CheckRequest(1, kind.module_name, kind.class_name, {}, {}, (), key, compared)
    check = ResampledCheck(request, layout, packed(make_rows("binary", REFERENCE_ROWS, 3), layout))
    return NoiseSource("credit/Drift", "v1", check, sizes, Frequency.DAY, 1, ComparedWith.REFERENCE, n_features)


SOURCE = source()


@settings(max_examples=examples(100))
@given(st.integers(1, 1_000_000), st.integers(0, 5_000), st.integers(0, 1_000))
def test_plan_has_bounds_for_all_sizes(n_rows: int, n_features: int, lookback: int) -> None:
    plan = noise_series.plan(replace(SOURCE, sizes=(n_rows,), n_features=n_features), lookback)
    assert 1 <= plan.n_series <= noise_series.MAX_SERIES
    assert plan.lead <= lookback
    total = plan.n_series * (plan.lead + plan.length)
    assert noise_series.MIN_WINDOWS / 2 <= total <= noise_series.MAX_WINDOWS
    assert 2 * plan.n_series * plan.length >= total  # at least half of the windows are judged


def test_large_windows_are_fewer() -> None:
    small, large = (noise_series.plan(replace(SOURCE, sizes=(n,), n_features=30), 0) for n in (300, 5_000))
    assert small.n_series * small.length > 2 * large.n_series * large.length


def test_series_have_windows_before_and_sizes_of_recent_windows() -> None:
    plan = DrawPlan(3, 2, 4)
    drawn = list(noise_series.draw(replace(SOURCE, sizes=(50, 80)), plan))
    assert [(len(series.before), len(series.windows)) for series in drawn] == [(2, 4)] * 3
    windows = [window for series in drawn for window in (*series.before, *series.windows)]
    assert {window.n for window in windows} == {50, 80}
    assert all(window.window_end - window.window_start == noise_series.STEPS[Frequency.DAY] for window in windows)
    ends = [window.window_end for window in (*drawn[0].before, *drawn[0].windows)]
    assert ends == sorted(set(ends))
    assert all(window.noise for window in windows), "rules need the noise of a drift"


def test_same_source_gives_the_same_windows() -> None:
    first, second = (list(noise_series.draw(SOURCE, DrawPlan(2, 0, 3))) for _ in range(2))
    assert first == second
    assert first[0].windows != first[1].windows


def test_baseline_is_that_of_the_series_own_reference() -> None:
    performance = source("SingleDatasetPerformance")
    drawn = list(noise_series.draw(performance, DrawPlan(3, 0, 1)))
    accuracies = [series.baseline["Accuracy"] for series in drawn]
    assert len(set(accuracies)) > 1
    everything = performance.check.value(performance.check.rows(np.arange(REFERENCE_ROWS)), None).metrics["Accuracy"]
    assert accuracies == [pytest.approx(everything, abs=0.15)] * 3
    assert [series.baseline for series in noise_series.draw(SOURCE, DrawPlan(1, 0, 1))] == [{}]


def test_windows_of_several_steps_have_the_rows_of_all_steps() -> None:
    (series,) = noise_series.draw(replace(SOURCE, sizes=(70,), units=7), DrawPlan(1, 0, 3))
    assert [window.n for window in series.windows] == [70, 70, 70]
    assert all((window.window_end - window.window_start).days == 7 for window in series.windows)
