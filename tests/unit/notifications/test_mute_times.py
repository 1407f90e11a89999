"""Mute times: hours of the week without notifications, in local time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmon import errors
from dcmon.db.tables.org import MuteTime
from dcmon.notifications import mute_times


def mute(days: str, hours: str, time_zone: str = "UTC") -> MuteTime:
    begins, ends = mute_times.parse_hours(hours)
    return MuteTime(
        name="m", days=mute_times.parse_days(days), begins=begins, ends=ends, time_zone=time_zone, matchers=[]
    )


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("mon-fri", ["mon", "tue", "wed", "thu", "fri"]),
        ("sat,sun", ["sat", "sun"]),
        ("fri-mon", ["mon", "fri", "sat", "sun"]),
        ("Monday, wednesday", ["mon", "wed"]),
        ("daily", list(mute_times.DAYS)),
    ],
)
def test_days_parse_in_every_notation(text: str, days: list[str]) -> None:
    assert mute_times.parse_days(text) == days


@pytest.mark.parametrize("text", ["", "mo", "mon-", "mon;tue", "8", "xyz-mon"])
def test_days_with_bad_syntax_are_refused(text: str) -> None:
    with pytest.raises(errors.InvalidInput, match="not days"):
        mute_times.parse_days(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("mon-fry", "mon-fri"),
        ("satt, sunn", "sat,sun"),
        ("Mon-Fridy", "mon-fri"),
        ("dayly", "daily"),
        ("Weekdays", "mon-fri"),
        ("weekend", "sat,sun"),
    ],
)
def test_mistyped_days_are_suggested_as_they_are_typed(text: str, meant: str) -> None:
    with pytest.raises(errors.InvalidInput, match=f"Do you mean '{meant}'"):
        mute_times.parse_days(text)
    with pytest.raises(errors.InvalidInput, match=r"^'mon-xyz' are not days\. Days look"):
        mute_times.parse_days("mon-xyz")


@pytest.mark.parametrize("text", ["mon-daily", "mon,dailyy", "mon-tue-wed", "mon,,sunn"])
def test_days_that_are_refused_are_not_suggested(text: str) -> None:
    with pytest.raises(errors.InvalidInput, match=r"are not days\. Days look"):
        mute_times.parse_days(text)


@pytest.mark.parametrize("text", ["", "22:00", "22-25", "24:00-6:00", "9:60-10", "a-b", "22:00–06:00", "٣-4"])
def test_hours_with_bad_syntax_are_refused(text: str) -> None:
    with pytest.raises(errors.InvalidInput, match="not hours"):
        mute_times.parse_hours(text)


def test_hours_past_midnight_belong_to_their_first_day() -> None:
    friday_night = mute("fri", "22:00-06:00")
    assert mute_times.current_end(friday_night, datetime(2026, 11, 27, 21, 59, tzinfo=UTC)) is None
    for hour in (datetime(2026, 11, 27, 22, tzinfo=UTC), datetime(2026, 11, 28, 5, 59, tzinfo=UTC)):
        assert mute_times.current_end(friday_night, hour) == datetime(2026, 11, 28, 6, tzinfo=UTC)
    assert mute_times.current_end(friday_night, datetime(2026, 11, 28, 6, tzinfo=UTC)) is None
    assert mute_times.current_end(friday_night, datetime(2026, 11, 28, 22, tzinfo=UTC)) is None


def test_hours_follow_local_time_through_a_clock_change() -> None:
    night = mute("daily", "22-6", "Europe/Berlin")
    assert mute_times.current_end(night, datetime(2026, 7, 1, 3, 59, tzinfo=UTC)) == datetime(2026, 7, 1, 4, tzinfo=UTC)
    assert mute_times.current_end(night, datetime(2026, 10, 25, 1, tzinfo=UTC)) == datetime(2026, 10, 25, 5, tzinfo=UTC)
    assert mute_times.current_end(night, datetime(2026, 10, 25, 5, tzinfo=UTC)) is None


def test_hours_with_equal_start_and_end_are_a_whole_day() -> None:
    assert mute_times.current_end(mute("sun", "0-24"), datetime(2026, 11, 29, 23, 59, tzinfo=UTC)) == datetime(
        2026, 11, 30, tzinfo=UTC
    )
    assert mute_times.current_end(mute("sun", "6-6"), datetime(2026, 11, 30, 5, tzinfo=UTC)) is not None


@given(
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]),
    st.integers(0, 730 * 1440).map(lambda minutes: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)),
    st.integers(0, 1439),
    st.integers(0, 1440),
)
def test_current_end_is_later_than_now_and_within_a_day(time_zone: str, now: datetime, begins: int, ends: int) -> None:
    always = MuteTime(name="m", days=list(mute_times.DAYS), begins=begins, ends=ends, time_zone=time_zone, matchers=[])
    until = mute_times.current_end(always, now)
    assert until is None or now < until <= now + timedelta(hours=25)
    if begins % 1440 == ends % 1440:
        assert until is not None
