"""Charts in a terminal: what is drawn where, in any width, with and without Unicode."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.commands.views import terminal_chart
from dcmon.commands.views.terminal_chart import ASCII, HEIGHT, UNICODE, Limit, Mark, draw
from dcmon.operators import Operator
from tests.helpers.examples import examples

START = datetime(2026, 3, 1, tzinfo=UTC)
RULE = Limit(0.25, Operator.GREATER_THAN, "> 0.25 high")


def marks(*values: float | None) -> list[Mark]:
    return [Mark(START + timedelta(days=number), value) for number, value in enumerate(values)]


def test_chart_has_values_threshold_dates_and_gap() -> None:
    assert draw(marks(0.1, 0.1, 0.4, None, 0.1, 0.1), [RULE], 40, ASCII) == [
        " 0.4 +             #",
        "     |            .",
        "     |            :",
        "     |           .",
        "0.25 +----------.-----------------------",
        "     |         .",
        "     |         :",
        "     |        .",
        "     |o......o                  o......o",
        "     |",
        "     |",
        "   0 +                    x",
        "     ++------+------------+-------------",
        "      03-01  03-02        03-04",
        "-- > 0.25 high   o 4 windows",
        "# 1 violated   x 1 without a value",
        "2026-03-01 to 2026-03-06 UTC",
    ]


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(st.none() | st.floats(allow_nan=True), min_size=1, max_size=400),
    st.integers(30, 300),
    st.sampled_from([ASCII, UNICODE]),
)
def test_chart_is_never_wider_than_the_terminal(
    values: list[float | None], width: int, signs: terminal_chart.Signs
) -> None:
    """Any values, also infinite and huge ones, and any number of windows."""
    lines = draw(marks(*values), [RULE], width, signs)
    plot = [line for line in lines if line]
    assert all(len(line) <= max(width, terminal_chart.NARROWEST + 14) for line in plot)
    if signs is ASCII:
        assert all(line.isascii() for line in plot)


@pytest.mark.parametrize(("width", "most"), [(80, 80), (200, terminal_chart.WIDEST)])
def test_chart_uses_the_width_of_the_terminal(width: int, most: int) -> None:
    lines = draw(marks(*(math.sin(number / 9) for number in range(500))), [], width)
    assert max(map(len, lines)) == most


def test_windows_without_any_value_are_a_sentence() -> None:
    assert draw(marks(None, None), [RULE], 80) == ["2 windows, all without a value."]


def test_no_line_leads_over_a_window_without_a_value() -> None:
    lines = draw(marks(1.0, None, 1.0), [], 60, ASCII)
    assert not any("." in line[7:] for line in lines[:HEIGHT])


def test_dates_are_as_long_as_the_period_needs() -> None:
    hours = [Mark(START + timedelta(hours=number), 1.0) for number in range(24)]
    months = [Mark(START + timedelta(days=30 * number), 1.0) for number in range(24)]
    assert "03-01 00:00" in draw(hours, [], 80)[HEIGHT + 1]
    assert "2026-03" in draw(months, [], 80)[HEIGHT + 1]


def test_ascii_is_drawn_in_the_c_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("locale.setlocale", lambda category: "C")
    assert terminal_chart.terminal_signs() is ASCII
