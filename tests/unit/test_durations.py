"""Durations are read as people and ISO 8601 write them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmon import durations
from dcmon.errors import InvalidInput

HOURS = st.integers(0, 36_500 * 24).map(lambda hours: timedelta(hours=hours))


@pytest.mark.parametrize(
    ("texts", "duration"),
    [
        (["90s", "1m30s", "1 min 30 sec", "90 seconds", "PT90S", "pt1m30s", "1.5m"], timedelta(seconds=90)),
        (["500ms", "0.5s", "500 milliseconds"], timedelta(milliseconds=500)),
        (["2h", "120min", "2 hours", "PT2H", "1h60m"], timedelta(hours=2)),
        (["1d12h", "36h", "P1DT12H", "1 day 12 hours"], timedelta(hours=36)),
        (["2w", "14d", "P2W", "2 weeks"], timedelta(days=14)),
        (["1y", "365d", "P1Y"], timedelta(days=365)),
    ],
)
def test_duration_is_read_in_each_way(texts: list[str], duration: timedelta) -> None:
    assert [durations.parse(text) for text in texts] == [duration] * len(texts)


@pytest.mark.parametrize(
    "text", ["", "7", "d", "7x", "7dd", "P", "PT", "P1M", "1h1h", "-7d", "7d ago", "1,5h", "1 month", "ms", "5ss"]
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a duration"):
        durations.parse(text)


@pytest.mark.parametrize("text", ["1M", "2 M", "1h30M", "1mo", "1 month", "3 Months", "P1M"])
def test_months_are_refused_with_what_to_type(text: str) -> None:
    """1M could be a minute or a month; in ISO 8601 it is clear."""
    with pytest.raises(InvalidInput, match="is not a duration: months differ in length"):
        durations.parse(text)
    assert durations.parse("PT1M") == durations.parse("1m")


def test_duration_of_more_than_a_century_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at most 36500d"):
        durations.parse("999999999y")


@given(HOURS | st.timedeltas(timedelta(microseconds=1), timedelta(days=400)))
def test_written_duration_is_read_as_itself(duration: timedelta) -> None:
    assert durations.parse(durations.to_text(duration)) == duration
