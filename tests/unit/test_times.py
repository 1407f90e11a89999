"""Times are read as people write them, and all mean one zone."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmon import times
from dcmon.errors import InvalidInput

NOW = datetime(2026, 3, 10, 14, 30, tzinfo=UTC)
TODAY = datetime(2026, 3, 10, tzinfo=UTC)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
YEARS = {
    "min_value": datetime(1970, 1, 2, tzinfo=UTC).replace(tzinfo=None),
    "max_value": datetime(2999, 1, 1, tzinfo=UTC).replace(tzinfo=None),
}


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("now", NOW),
        ("today", TODAY),
        ("Yesterday", TODAY - timedelta(days=1)),
        ("tomorrow", TODAY + timedelta(days=1)),
        ("7d", NOW - timedelta(days=7)),
        ("-7d", NOW - timedelta(days=7)),
        ("7d ago", NOW - timedelta(days=7)),
        ("1h30m ago", NOW - timedelta(minutes=90)),
        ("+2h", NOW + timedelta(hours=2)),
        ("2026-03-10", TODAY),
        (" 2026-03-10 14:30 ", NOW),
        ("2026-03-10T15:30+01:00", NOW),
        ("2026-03-10T14:30:00Z", NOW),
    ],
)
def test_time_is_read_in_each_way(text: str, time: datetime) -> None:
    assert times.parse(text, NOW) == time
    assert times.parse(text, NOW).tzinfo is UTC


@pytest.mark.parametrize(
    "text", ["", "soon", "7", "+7d ago", "+-7d", "ago", "2026-13-01", "1795901341", "9999-12-31T23:59-14:00"]
)
def test_other_text_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"is not a time. A time looks like 2026-03-10"):
        times.parse(text, NOW)


@pytest.mark.parametrize(("text", "word"), [("yestrday", "yesterday"), ("todai", "today"), ("tomorow", "tomorrow")])
def test_mistyped_word_gets_the_nearest(text: str, word: str) -> None:
    for parse in (times.parse, times.parse_lifetime):
        with pytest.raises(InvalidInput, match=rf"{text}.* Do you mean '{word}'\?"):
            parse(text)


@given(st.datetimes(**YEARS, timezones=ZONES))
def test_written_time_is_read_as_itself(time: datetime) -> None:
    assert times.parse(time.isoformat()) == time


@given(st.datetimes(**YEARS))
def test_relative_time_does_not_depend_on_the_zone_of_now(now: datetime) -> None:
    elsewhere = now.replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=9)))
    for text in ("7d", "+2h", "today", "yesterday"):
        assert times.parse(text, elsewhere) == times.parse(text, now.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "lifetime"),
    [
        ("90d", timedelta(days=90)), ("+90d", timedelta(days=90)), ("1h30m", timedelta(minutes=90)),
        ("2026-03-12", timedelta(days=1, hours=9, minutes=30)), ("tomorrow", timedelta(hours=9, minutes=30)),
        ("2026-03-10T15:30+01:00", timedelta(minutes=0, seconds=1)),
    ],
)  # fmt: skip
def test_lifetime_is_a_duration_or_the_time_of_its_end(text: str, lifetime: timedelta) -> None:
    now = datetime(2026, 3, 10, 14, 30, tzinfo=UTC) - timedelta(seconds=1 if "T" in text else 0)
    assert times.parse_lifetime(text, now) == lifetime


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("yesterday", "is over"), ("2020-01-01", "is over"), ("now", "is over"), ("7d ago", "neither a duration nor"),
        ("-7d", "neither a duration nor"), ("soon", "like 90d .from now., 2026-12-31"), ("1M", "months differ"),
    ],
)  # fmt: skip
def test_lifetime_that_is_over_or_unclear_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        times.parse_lifetime(text)
