"""Which windows the chart of an alert shows."""

import pytest

from dcmon.commands.views import monitor_chart
from dcmon.db.tables.org import Result


def results(count: int) -> list[Result]:
    return [Result(id=number) for number in range(count)]


@pytest.mark.parametrize("is_open", [True, False])
def test_short_alert_is_drawn_whole(is_open: bool) -> None:
    stored = results(monitor_chart.MOST_WINDOWS)
    assert monitor_chart.windows_to_draw(stored, is_open=is_open) == (stored, "")


@pytest.mark.parametrize(("is_open", "first", "which"), [(True, 156, "newest"), (False, 0, "first")])
def test_long_alert_says_which_windows_are_drawn(is_open: bool, first: int, which: str) -> None:
    """The chart of an alert that fires ends now."""
    shown, title = monitor_chart.windows_to_draw(results(276), is_open=is_open)
    assert [result.id for result in shown] == list(range(first, first + 120))
    assert title == f", the {which} 120 of 276 windows"
