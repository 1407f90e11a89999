"""The windows of a lookback: aligned by the calendar, in order, and at most 31."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.monitoring.lookback_windows import MAX_WINDOWS, frequency_of_range, round_up, windows_of_range
from dcmon.windows import Frequency, WindowGrid, floor, step
from tests.helpers.examples import examples

ZONES = st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/New_York"]).map(
    ZoneInfo
)
EPOCH = datetime(1990, 1, 1, tzinfo=UTC)
TIMES = st.timedeltas(timedelta(), timedelta(days=18_000)).map(lambda since: EPOCH + since)
SPANS = st.timedeltas(timedelta(), timedelta(days=400))
GRIDS = st.builds(WindowGrid, st.sampled_from(Frequency), st.integers(1, 5))


@settings(max_examples=examples(100))
@given(TIMES, SPANS, GRIDS, ZONES)
def test_windows_are_the_last_ones_of_the_grid(
    start: datetime, span: timedelta, grid: WindowGrid, zone: ZoneInfo
) -> None:
    """Stepping from the first end to the last one gives the same windows, of which the last 31 stay."""
    windows = windows_of_range(start, start + span, grid, zone)
    first, last = round_up(start, grid.frequency, zone), round_up(start + span, grid.frequency, zone)
    ends = [first]
    while ends[-1] < last:
        ends.append(step(ends[-1], grid.frequency, 1, zone))
    assert [window.end for window in windows] == ends[-MAX_WINDOWS:]
    assert all(grid.includes(window, zone) for window in windows)


@settings(max_examples=examples(100))
@given(TIMES, st.sampled_from(Frequency), ZONES)
def test_round_up_ends_the_unit_with_the_time(time: datetime, frequency: Frequency, zone: ZoneInfo) -> None:
    """A time between two units belongs to the later one, so it moves by one unit."""
    end = round_up(time, frequency, zone)
    assert floor(time, frequency, zone) <= time < end
    assert round_up(floor(time, frequency, zone), frequency, zone) == end


@pytest.mark.parametrize(
    ("span", "frequency"),
    [
        (timedelta(), Frequency.HOUR),
        (timedelta(days=3), Frequency.HOUR),
        (timedelta(days=3, seconds=1), Frequency.DAY),
        (timedelta(days=30), Frequency.DAY),
        (timedelta(days=31), Frequency.WEEK),
        (timedelta(days=90), Frequency.WEEK),
        (timedelta(days=91), Frequency.MONTH),
    ],
)
def test_frequency_fits_the_range(span: timedelta, frequency: Frequency) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    assert frequency_of_range(start, start + span) is frequency
