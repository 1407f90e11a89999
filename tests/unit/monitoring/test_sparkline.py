"""Sparklines of metric values in the terminal."""

from hypothesis import given
from hypothesis import strategies as st

from dcmon.monitoring.sparkline import resampled, sparkline

BLOCKS = "▁▂▃▄▅▆▇█"
VALUES = st.lists(st.none() | st.floats(), max_size=60)
FINITE = st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=60)
WIDTHS = st.integers(min_value=1, max_value=40)


@given(VALUES, WIDTHS)
def test_sparkline_is_as_wide_as_asked_or_as_its_values(values: list[float | None], width: int) -> None:
    line = sparkline(values, width)
    assert len(line) == min(len(values), width)
    assert set(line) <= set(BLOCKS + " ")


@given(FINITE, WIDTHS)
def test_sparkline_of_many_values_shows_the_peak(values: list[float | None], width: int) -> None:
    known = [value for value in values if value is not None]
    line = sparkline(values, width)
    drawn = [value for value in resampled(values, width) if value is not None]
    assert max(drawn, default=None) == max(known, default=None)
    if len(set(drawn)) > 1:
        assert BLOCKS[-1] in line
        assert BLOCKS[0] in line


@given(FINITE)
def test_sparkline_gaps_alone_are_blank(values: list[float | None]) -> None:
    line = sparkline(values, max(1, len(values)))
    assert [character == " " for character in line] == [value is None for value in values]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
def test_sparkline_larger_value_has_no_lower_block(values: list[float]) -> None:
    line = sparkline(values, len(values))
    ordered = [BLOCKS.index(character) for _, character in sorted(zip(values, line, strict=True))]
    assert ordered == sorted(ordered)


def test_sparkline_of_known_values_equals_the_examples() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8) == BLOCKS
    assert sparkline([0, 9, 0, 0, None, None], 3) == "█▁ "
    assert sparkline([2, 2, float("nan")], 5) == "▁▁ "
    assert sparkline([], 5) == sparkline([1.0], 0) == ""
