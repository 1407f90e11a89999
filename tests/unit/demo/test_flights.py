"""Loading the flights data set as samples and labels."""

import importlib.util
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from dcmon.demo import flights
from dcmon.errors import FlightsMissing
from dcmon.storage.columns import TYPES

NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture(scope="module")
def raw() -> pd.DataFrame:
    return pd.read_csv(flights.folder() / "flights.csv.zip")


def flight(year: pd.DataFrame, sample_id: str) -> pd.Series:
    return year.set_index("sample_id").loc[sample_id]


def test_flights_are_complete_unique_and_in_order_of_time(year: pd.DataFrame) -> None:
    assert len(year) == 336_776
    assert year["sample_id"].is_unique
    assert year["time"].is_monotonic_increasing


def test_flight_id_has_date_carrier_number_and_airport(year: pd.DataFrame) -> None:
    first = flight(year, "2013-01-01-UA-1545-EWR")
    assert (first["dest"], first["dep_delay"], first["late"], first["weekday"]) == ("IAH", 2.0, "0", "Tue")


def test_loading_twice_gives_the_same_flights(year: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(flights.load(), year)


def test_times_are_in_utc_with_a_time_zone(year: pd.DataFrame) -> None:
    assert str(year["time"].dtype) == str(year["label_time"].dtype) == "datetime64[ns, UTC]"


@pytest.mark.parametrize(
    ("day", "offset"), [((3, 9), -5), ((3, 10), -4), ((11, 2), -4), ((11, 3), -5)], ids=lambda value: str(value)
)
def test_departures_keep_local_time_beside_a_clock_change(
    year: pd.DataFrame, raw: pd.DataFrame, day: tuple[int, int], offset: int
) -> None:
    """A departure at the same local time has another UTC time after the change."""
    known = raw[(raw["month"] == day[0]) & (raw["day"] == day[1]) & raw["dep_time"].notna()]
    row = known.sort_values("sched_dep_time").iloc[3]
    sample_id = f"2013-{day[0]:02}-{day[1]:02}-{row['carrier']}-{row['flight']}-{row['origin']}"
    departure = flight(year, sample_id)["time"].to_pydatetime()
    local = datetime(2013, *day, int(row["dep_time"]) // 100, int(row["dep_time"]) % 100, tzinfo=NEW_YORK)
    assert departure == local
    assert local.utcoffset() == timedelta(hours=offset)


def test_departures_agree_with_the_local_clock_of_the_file(year: pd.DataFrame, raw: pd.DataFrame) -> None:
    """The file has local times beside the UTC times."""
    known = raw[raw["dep_time"].notna()]
    ids = (
        pd.to_datetime(known[["year", "month", "day"]]).dt.strftime("%Y-%m-%d")
        + "-" + known["carrier"] + "-" + known["flight"].astype(str) + "-" + known["origin"]
    )  # fmt: skip
    local = year.set_index("sample_id").loc[ids, "time"].dt.tz_convert("America/New_York")
    clock = known["dep_time"].astype(int) % 2400
    assert (local.dt.hour.to_numpy() * 100 + local.dt.minute.to_numpy() == clock.to_numpy()).all()


def test_cancelled_flights_have_no_delay_and_no_label(year: pd.DataFrame) -> None:
    """They have their scheduled time."""
    cancelled = year[year["dep_delay"].isna()]
    assert len(cancelled) == 8_255
    assert all(label is None for label in cancelled["late"])
    assert flight(year, "2013-01-01-EV-4308-EWR")["time"] == pd.Timestamp("2013-01-01T21:30:00Z")


def test_label_means_later_than_fifteen_minutes(year: pd.DataFrame, raw: pd.DataFrame) -> None:
    assert set(year["late"]) == {"0", "1", None}
    assert year["late"].isna().sum() == 9_430
    assert (year["late"] == "1").sum() == (raw["arr_delay"] > 15).sum()


def test_labels_come_after_their_flights(year: pd.DataFrame) -> None:
    wait = year["label_time"] - year["time"]
    assert wait.min() > pd.Timedelta(hours=12)
    assert wait.max() <= pd.Timedelta(hours=36)


def test_weather_is_that_of_hour_and_airport_of_departure(year: pd.DataFrame) -> None:
    row = flight(year, "2013-01-01-UA-1545-EWR")
    weather = pd.read_csv(flights.folder() / "weather.csv").set_index(["origin", "time_hour"])
    existing = weather.loc[("EWR", "2013-01-01T10:00:00Z")]
    assert (row["temp"], row["wind_dir"], row["pressure"]) == (
        existing.temp,
        existing.wind_dir,
        existing.pressure,
    )


def test_missing_weather_stays_missing(year: pd.DataFrame) -> None:
    assert 0.7 < year["wind_gust"].isna().mean() < 0.8
    assert year["temp"].isna().sum() == 1_605


def test_features_have_column_types_of_dcmon(year: pd.DataFrame) -> None:
    assert set(flights.FEATURES.values()) <= set(TYPES)
    integer_features = [name for name, kind in flights.FEATURES.items() if kind == "integer"]
    assert all(pd.api.types.is_integer_dtype(year[name]) for name in integer_features)


def test_missing_package_has_an_error_with_the_install_command() -> None:
    assert importlib.util.find_spec("no_such_flights") is None
    with pytest.raises(FlightsMissing, match=r"with the extra \[demo\]"):
        flights.folder("no_such_flights")
