"""Windows: every moment has a window, windows have no gaps, and they are aligned in every time zone."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon import errors, windows
from dcmon.windows import Frequency, Window, WindowGrid, floor, step, time_zone
from tests.helpers.examples import examples

ZONES = sorted(available_timezones() - {"localtime", "Factory"})
# Before 1973 some zones had offsets of odd minutes; dcmon accepts samples from 1970 on.
FIRST, YEARS = datetime(1973, 1, 1, tzinfo=UTC), 64

zones = st.sampled_from(ZONES).map(ZoneInfo)
times = st.timedeltas(timedelta(), timedelta(days=365 * YEARS)).map(lambda since: FIRST + since)
frequencies = st.sampled_from(list(Frequency))
units = st.integers(1, 5)


@st.composite
def changes(draw: st.DrawFn) -> tuple[ZoneInfo, datetime]:
    """Draw a time zone and a moment near one of its clock changes, if the drawn year has any."""
    local, year = draw(zones), draw(st.integers(1973, 2037))
    hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(366)]
    clock_changes = [
        b for a, b in pairwise(hours) if a.astimezone(local).utcoffset() != b.astimezone(local).utcoffset()
    ]
    near = draw(st.sampled_from(clock_changes)) if clock_changes else draw(times)
    return local, near + draw(st.timedeltas(timedelta(hours=-50), timedelta(hours=50)))


def check(local: ZoneInfo, time: datetime, frequency: Frequency, count: int) -> None:
    shape = WindowGrid(frequency, count)
    windows = list(shape.containing(time, local))
    assert len(windows) == count
    assert floor(time, frequency, local) == next(WindowGrid(frequency, 1).containing(time, local)).start
    for window in windows:
        assert window.start <= time < window.end
        assert floor(window.start, frequency, local) == window.start
        assert floor(window.end, frequency, local) == window.end
        assert shape.includes(window, local)
    for earlier, later in pairwise(windows):
        assert earlier.start < later.start
        assert earlier.end < later.end
    tiles = WindowGrid(frequency, 1)
    [inside] = tiles.containing(time, local)
    [before] = tiles.containing(inside.start - timedelta.resolution, local)
    [after] = tiles.containing(inside.end, local)
    assert (before.end, after.start) == (inside.start, inside.end)
    assert step(inside.start, frequency, count, local) == windows[-1].end
    assert step(windows[-1].end, frequency, -count, local) == inside.start


@given(zones, times, frequencies, units)
def test_windows_contain_the_moment_and_tile(local: ZoneInfo, time: datetime, frequency: Frequency, count: int) -> None:
    check(local, time, frequency, count)


@settings(max_examples=examples(300))
@given(changes(), frequencies, units)
def test_windows_beside_a_clock_change_tile_without_gaps(
    change: tuple[ZoneInfo, datetime], frequency: Frequency, count: int
) -> None:
    check(*change, frequency, count)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("Pacific/Apia", "2011-12-30T10:00Z"),
        ("Pacific/Kwajalein", "1993-08-21T12:00Z"),
        ("Pacific/Enderbury", "1994-12-31T12:00Z"),
        ("Pacific/Kiritimati", "1994-12-31T12:00Z"),
        ("America/St_Johns", "2010-11-07T03:00Z"),
        ("America/Goose_Bay", "1988-10-30T03:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
        ("America/Caracas", "2016-05-01T07:00Z"),
        ("Asia/Pyongyang", "2018-05-04T15:00Z"),
        ("Asia/Kathmandu", "1985-12-31T18:30Z"),
        ("Antarctica/Troll", "2026-03-29T01:00Z"),
        ("America/Nuuk", "2026-03-29T01:00Z"),
        ("Africa/Cairo", "2026-04-23T22:00Z"),
        ("America/Havana", "2026-11-01T05:00Z"),
        ("Asia/Beirut", "2026-10-24T21:00Z"),
    ],
)
def test_windows_cover_every_time_near_a_clock_change(name: str, near: str) -> None:
    for quarter in range(-30 * 4, 30 * 4, 3):
        for frequency in Frequency:
            check(time_zone(name), utc(near) + timedelta(minutes=15 * quarter + 1), frequency, 2)


@settings(max_examples=examples(300))
@given(changes(), frequencies, units)
def test_first_window_ends_at_a_time_or_contains_it(
    change: tuple[ZoneInfo, datetime], frequency: Frequency, count: int
) -> None:
    local, time = change
    grid = WindowGrid(frequency, count)
    window = grid.first_ending(time, local)
    assert grid.includes(window, local)
    assert window.start < time <= window.end
    assert step(window.end, frequency, -1, local) < time
    assert grid.first_ending(window.end, local) == window
    assert grid.first_ending(window.end + timedelta.resolution, local).end == step(window.end, frequency, 1, local)


@given(changes(), frequencies)
def test_unit_has_the_length_of_the_calendar(change: tuple[ZoneInfo, datetime], frequency: Frequency) -> None:
    local, time = change
    [window] = WindowGrid(frequency, 1).containing(time, local)
    longest = {"HOUR": 1, "DAY": 24, "WEEK": 7 * 24, "MONTH": 31 * 24}[frequency]
    gained = timedelta(0 if frequency is Frequency.HOUR else 1)  # the longest time that a clock was ever set back
    assert timedelta() < window.end - window.start <= timedelta(hours=longest) + gained


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def span(frequency: Frequency, text: str, name: str, count: int = 1) -> tuple[str, str]:
    """Return the last window around a local time, in local time."""
    local = time_zone(name)
    time = datetime.fromisoformat(text)
    time = time if time.tzinfo else time.replace(tzinfo=local)
    window = list(WindowGrid(frequency, count).containing(time.astimezone(UTC), local))[-1]
    return (window.start.astimezone(local).isoformat(), window.end.astimezone(local).isoformat())


@pytest.mark.parametrize(
    ("frequency", "time", "name", "start", "end"),
    [
        ("DAY", "2026-03-29T12:00", "Europe/Berlin", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
        ("DAY", "2026-10-25T23:59", "Europe/Berlin", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"),
        ("WEEK", "2026-03-29T12:00", "Europe/Berlin", "2026-03-23T00:00:00+01:00", "2026-03-30T00:00:00+02:00"),
        ("MONTH", "2026-10-31T23:00", "Europe/Berlin", "2026-10-01T00:00:00+02:00", "2026-11-01T00:00:00+01:00"),
        ("MONTH", "2024-02-29T23:00", "UTC", "2024-02-01T00:00:00+00:00", "2024-03-01T00:00:00+00:00"),
        ("MONTH", "2025-12-31T23:59", "UTC", "2025-12-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00"),
        ("HOUR", "2026-10-25T00:30:00Z", "Europe/Berlin", "2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"),
        ("HOUR", "2026-10-25T01:30:00Z", "Europe/Berlin", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"),
        ("HOUR", "2026-03-29T00:30:00Z", "Europe/Berlin", "2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00"),
        # +5:45
        ("HOUR", "2026-01-01T12:30", "Asia/Kathmandu", "2026-01-01T12:00:00+05:45", "2026-01-01T13:00:00+05:45"),
        ("DAY", "2026-01-01T12:30", "Asia/Kathmandu", "2026-01-01T00:00:00+05:45", "2026-01-02T00:00:00+05:45"),
        # A change of half an hour cuts its hour in two.
        ("HOUR", "2026-04-04T14:45Z", "Australia/Lord_Howe", "2026-04-05T01:00:00+11:00", "2026-04-05T01:30:00+10:30"),
        ("HOUR", "2026-04-04T15:15Z", "Australia/Lord_Howe", "2026-04-05T01:30:00+10:30", "2026-04-05T02:00:00+10:30"),
        ("HOUR", "2026-10-03T15:45Z", "Australia/Lord_Howe", "2026-10-04T02:30:00+11:00", "2026-10-04T03:00:00+11:00"),
        # Midnight is skipped: the day begins at one.
        ("DAY", "2018-11-04T12:00", "America/Sao_Paulo", "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"),
        ("DAY", "2018-11-03T12:00", "America/Sao_Paulo", "2018-11-03T00:00:00-03:00", "2018-11-04T01:00:00-02:00"),
        # Midnight occurs twice: the day begins at the first.
        ("DAY", "2026-11-01T12:00", "America/Havana", "2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00"),
        # A skipped day: Samoa changed to the other side of the date line.
        ("DAY", "2011-12-29T12:00", "Pacific/Apia", "2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00"),
        ("DAY", "2011-12-31T12:00", "Pacific/Apia", "2011-12-31T00:00:00+14:00", "2012-01-01T00:00:00+14:00"),
        # The clock goes back from 00:01 to the day before: that hour belongs to the new day.
        ("DAY", "2010-11-07T02:45Z", "America/St_Johns", "2010-11-07T00:00:00-02:30", "2010-11-08T00:00:00-03:30"),
    ],
)  # fmt: skip
def test_window_follows_the_local_calendar(frequency: str, time: str, name: str, start: str, end: str) -> None:
    assert span(Frequency(frequency), time, name) == (start, end)


def test_window_of_several_units_ends_at_each_unit() -> None:
    window = WindowGrid(Frequency.DAY, 3).containing(utc("2026-03-10T12:00Z"), time_zone("UTC"))

    assert [(w.start.day, w.end.day) for w in window] == [(8, 11), (9, 12), (10, 13)]


def test_time_on_a_boundary_is_in_the_window_that_begins() -> None:
    [window] = WindowGrid(Frequency.WEEK, 1).containing(utc("2026-03-09T00:00Z"), time_zone("UTC"))

    assert (window.start.date(), window.end.date()) == (date(2026, 3, 9), date(2026, 3, 16))


@pytest.mark.parametrize(
    ("start", "end", "is_one"),
    [
        ("2026-03-09T00:00Z", "2026-03-16T00:00Z", True),
        ("2026-03-10T00:00Z", "2026-03-17T00:00Z", False),
        ("2026-03-09T00:00Z", "2026-03-10T00:00Z", False),
    ],
)
def test_grid_includes_only_aligned_windows(start: str, end: str, is_one: bool) -> None:
    assert WindowGrid(Frequency.WEEK, 1).includes(Window(utc(start), utc(end)), time_zone("UTC")) is is_one


def test_time_is_in_a_thousand_windows_of_a_thousand_hours() -> None:
    assert (
        len(list(WindowGrid(Frequency.HOUR, 1000).containing(utc("2026-04-10T00:00Z"), time_zone("Europe/Berlin"))))
        == 1000
    )


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "/etc/passwd", "a\0b"])
def test_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(errors.InvalidInput, match="no time zone"):
        windows.time_zone(name)


@pytest.mark.parametrize(
    ("name", "day", "repeated"),
    [
        ("Atlantic/Azores", "2026-10-25T00:00Z", "2026-10-25T01:30Z"),
        ("America/Havana", "2026-11-01T04:00Z", "2026-11-01T05:30Z"),
    ],
)
def test_moment_in_a_repeated_midnight_hour_is_in_the_first_day(name: str, day: str, repeated: str) -> None:
    """The repeated hour after midnight belongs to the day that began at the first midnight."""
    local, starts, time = ZoneInfo(name), datetime.fromisoformat(day), datetime.fromisoformat(repeated)
    assert floor(time, Frequency.DAY, local) == starts
    assert floor(starts + timedelta(hours=1), Frequency.DAY, local) == starts
    assert not WindowGrid(Frequency.DAY, 1).includes(
        Window(step(starts, Frequency.DAY, -1, local), starts + timedelta(hours=1)), local
    )


@pytest.mark.parametrize("name", ["Europe/Berln", "", "../etc/passwd", "9" * 255, "Ä" * 10_000, "a\0b"])
def test_unknown_time_zone_is_refused_in_a_short_sentence(name: str) -> None:
    with pytest.raises(errors.InvalidInput, match="There is no time zone") as refused:
        time_zone(name)
    assert len(str(refused.value)) < 200
