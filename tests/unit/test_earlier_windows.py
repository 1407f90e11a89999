"""The earlier window that a window is compared with, and the windows that depend on an earlier one."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.windows import ComparedWith, Comparison, Frequency, Window, WindowGrid, can_compare
from tests.helpers.examples import examples
from tests.unit.test_windows import changes, times, zones

BERLIN, UTC_ZONE = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")
comparisons = st.builds(
    Comparison,
    st.builds(WindowGrid, st.sampled_from(list(Frequency)), st.integers(1, 4)),
    st.sampled_from([ComparedWith.PREVIOUS, ComparedWith.WEEK_BEFORE]),
).filter(lambda unit: can_compare(unit.grid, unit.compared_with))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def window(start: str, end: str) -> Window:
    return Window(at(start), at(end))


@pytest.mark.parametrize(
    ("frequency", "units", "compared_with", "given_window", "expected"),
    [
        ("DAY", 1, "previous", ("2026-03-30T00:00+02:00", "2026-03-31T00:00+02:00"),
         ("2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00")),
        ("DAY", 7, "previous", ("2026-03-30T00:00+02:00", "2026-04-06T00:00+02:00"),
         ("2026-03-23T00:00+01:00", "2026-03-30T00:00+02:00")),
        ("MONTH", 1, "previous", ("2026-03-01T00:00+01:00", "2026-04-01T00:00+02:00"),
         ("2026-02-01T00:00+01:00", "2026-03-01T00:00+01:00")),
        ("DAY", 1, "week_before", ("2026-03-31T00:00+02:00", "2026-04-01T00:00+02:00"),
         ("2026-03-24T00:00+01:00", "2026-03-25T00:00+01:00")),
        ("WEEK", 1, "week_before", ("2026-03-30T00:00+02:00", "2026-04-06T00:00+02:00"),
         ("2026-03-23T00:00+01:00", "2026-03-30T00:00+02:00")),
        ("HOUR", 1, "week_before", ("2026-03-31T09:00+02:00", "2026-03-31T10:00+02:00"),
         ("2026-03-24T09:00+01:00", "2026-03-24T10:00+01:00")),
        # The hour that a clock change repeats: both hours are compared with the same hour of the week before.
        ("HOUR", 1, "week_before", ("2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"),
         ("2026-10-18T02:00+02:00", "2026-10-18T03:00+02:00")),
        ("HOUR", 1, "week_before", ("2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"),
         ("2026-10-18T02:00+02:00", "2026-10-18T03:00+02:00")),
        # The hour that a clock change skips: the hour after it is used.
        ("HOUR", 1, "week_before", ("2026-04-05T02:00+02:00", "2026-04-05T03:00+02:00"),
         ("2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00")),
    ],
)  # fmt: skip
def test_compared_window_follows_the_calendar(
    frequency: str, units: int, compared_with: str, given_window: tuple[str, str], expected: tuple[str, str]
) -> None:
    comparing = Comparison(WindowGrid(Frequency(frequency), units), ComparedWith(compared_with))
    assert comparing.compared_window(window(*given_window), BERLIN) == window(*expected)


def test_late_row_a_week_before_a_repeated_hour_touches_both() -> None:
    """Both repeated hours are compared with the hour of the late row."""
    comparing = Comparison(WindowGrid(Frequency.HOUR, 1), ComparedWith.WEEK_BEFORE)
    dependents = sorted(comparing.dependent_windows(at("2026-10-18T02:30+02:00"), BERLIN))
    assert dependents == [
        window("2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00"),
        window("2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"),
    ]


def law(local: ZoneInfo, time: datetime, comparing: Comparison, share: float) -> None:
    for window in comparing.grid.containing(time, local):
        earlier = comparing.compared_window(window, local)
        assert earlier.start < earlier.end <= window.start or comparing.compared_with is ComparedWith.WEEK_BEFORE
        assert comparing.grid.includes(earlier, local)
        inside = earlier.start + (earlier.end - earlier.start) * share
        assert window in set(comparing.dependent_windows(inside, local))
        for later in comparing.dependent_windows(inside, local):
            compared = comparing.compared_window(later, local)
            assert compared.start <= inside < compared.end


@given(zones, times, comparisons, st.floats(0, 0.99))
def test_dependent_windows_invert_compared_window(
    local: ZoneInfo, time: datetime, comparing: Comparison, share: float
) -> None:
    """A window depends on every moment of the window that it is compared with."""
    law(local, time, comparing, share)


@settings(max_examples=examples(300))
@given(changes(), comparisons, st.floats(0, 0.99))
def test_dependent_windows_are_right_beside_a_clock_change(
    change: tuple[ZoneInfo, datetime], comparing: Comparison, share: float
) -> None:
    law(*change, comparing, share)


@settings(max_examples=examples(300))
@given(changes(), comparisons, st.floats(0, 0.99))
def test_dependent_windows_are_right_a_week_after_a_change(
    change: tuple[ZoneInfo, datetime], comparing: Comparison, share: float
) -> None:
    law(change[0], change[1] + timedelta(days=7), comparing, share)


def test_window_longer_than_a_week_has_no_weekly_comparison() -> None:
    assert can_compare(WindowGrid(Frequency.DAY, 7), ComparedWith.WEEK_BEFORE)
    assert can_compare(WindowGrid(Frequency.WEEK, 1), ComparedWith.WEEK_BEFORE)
    for shape in (WindowGrid(Frequency.DAY, 8), WindowGrid(Frequency.WEEK, 2), WindowGrid(Frequency.MONTH, 1)):
        assert not can_compare(shape, ComparedWith.WEEK_BEFORE)
        assert can_compare(shape, ComparedWith.PREVIOUS)
