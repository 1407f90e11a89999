"""Replay April to December day by day.

Each day sends the labels of earlier days that become known on it, then its samples.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dcmon.demo.flights import FEATURES, REFERENCE_MONTHS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Row = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """The samples and labels of one day (UTC).

    Samples have `day` <= time < `until`; labels became known in that time. Rows look as the SDK sends them: keys in its
    order, None for missing values, times "…Z" in whole seconds.
    """

    day: date
    until: datetime
    samples: list[Row]
    labels: list[Row]


@dataclass(frozen=True)
class _Column:
    name: str
    values: "np.ndarray[Any, Any]"
    has_missing: bool

    def rows(self, start: int, end: int) -> list[Any]:
        values = self.values[start:end].tolist()
        return [None if value != value else value for value in values] if self.has_missing else values


@dataclass(frozen=True)
class Replay:
    """All steps of a replay. `samples` and `labels` count the rows of all steps."""

    samples: int
    labels: int
    first: date
    last: date
    _flights: "pd.DataFrame" = field(repr=False)

    def __len__(self) -> int:
        return (self.last - self.first).days + 1

    def steps(self, start: date | None = None) -> Iterator[Step]:
        """Yield the steps from day `start` on, or from the first day.

        Every sample and label is in exactly one step. To continue after an interruption, start at the day of the
        newest sample that arrived: the whole day is sent again, and rows with the same id are stored once.
        """
        samples, labels = _Samples.from_flights(self._flights), _Labels.from_flights(self._flights)
        day = max(start or self.first, self.first)
        while day <= self.last:
            since = datetime(day.year, day.month, day.day, tzinfo=UTC)
            until = since + timedelta(days=1)
            yield Step(day, until, samples.between(since, until), labels.between(since, until))
            day = until.date()


def make_replay(predicted: "pd.DataFrame") -> Replay:
    """Make the replay of flights with predictions (`TrainedClassifier.predict`), without January to March.

    It ends when the last label is known.
    """
    flights = predicted[~predicted["month"].isin(REFERENCE_MONTHS)].sort_values(["time", "sample_id"])
    labelled = flights[flights["late"].notna()]
    last = max(flights["time"].iloc[-1], labelled["label_time"].max())
    return Replay(len(flights), len(labelled), flights["time"].iloc[0].date(), last.date(), flights)


@dataclass(frozen=True)
class _Samples:
    moments: "np.ndarray[Any, Any]"
    columns: Sequence[_Column]

    @classmethod
    def from_flights(cls, flights: "pd.DataFrame") -> "_Samples":
        import numpy as np

        moments = _utc(flights["time"])
        times = np.char.add(np.datetime_as_string(moments, unit="s"), "Z")
        features = [_Column(name, flights[name].to_numpy(), flights[name].hasnans) for name in FEATURES]
        vectors = np.column_stack([1 - flights["probability"], flights["probability"]]).round(6)
        output = {
            "_dc_time": times,
            "_dc_prediction_probabilities": vectors,
            "_dc_prediction": flights["prediction"].to_numpy(),
        }
        ids = _Column("_dc_sample_id", flights["sample_id"].to_numpy(), has_missing=False)
        return cls(moments, [ids, *features, *(_Column(*item, has_missing=False) for item in output.items())])

    def between(self, since: datetime, until: datetime) -> list[Row]:
        start, end = _span(self.moments, since, until)
        names = [column.name for column in self.columns]
        rows = zip(*(column.rows(start, end) for column in self.columns), strict=True)
        return [dict(zip(names, row, strict=True)) for row in rows]


@dataclass(frozen=True)
class _Labels:
    moments: "np.ndarray[Any, Any]"
    ids: list[str]
    labels: list[str]

    @classmethod
    def from_flights(cls, flights: "pd.DataFrame") -> "_Labels":
        labelled = flights[flights["late"].notna()].sort_values(["label_time", "time", "sample_id"])
        return cls(_utc(labelled["label_time"]), labelled["sample_id"].tolist(), labelled["late"].tolist())

    def between(self, since: datetime, until: datetime) -> list[Row]:
        start, end = _span(self.moments, since, until)
        pairs = zip(self.ids[start:end], self.labels[start:end], strict=True)
        return [{"_dc_sample_id": sample_id, "_dc_label": label} for sample_id, label in pairs]


def _utc(times: "pd.Series[Any]") -> "np.ndarray[Any, Any]":
    naive: np.ndarray[Any, Any] = times.dt.tz_convert(None).to_numpy().astype("datetime64[s]")
    return naive


def _span(moments: "np.ndarray[Any, Any]", since: datetime, until: datetime) -> tuple[int, int]:
    import numpy as np

    edges = [np.datetime64(moment.replace(tzinfo=None), "s") for moment in (since, until)]
    start, end = np.searchsorted(moments, edges)
    return int(start), int(end)


def reference_rows(reference: "pd.DataFrame") -> "pd.DataFrame":
    """Return the reference as the SDK uploads it: features, label, prediction and probabilities."""
    import numpy as np

    vectors = np.column_stack([1 - reference["probability"], reference["probability"]]).round(6)
    output: Mapping[str, Any] = {
        "_dc_label": reference["late"].to_numpy(),
        "_dc_prediction": reference["prediction"].to_numpy(),
        "_dc_prediction_probabilities": vectors.tolist(),
    }
    return reference[list(FEATURES)].assign(**output).reset_index(drop=True)
