"""The expected windows of a version and their numbers, computed from the rows.

Nulls, right predictions and rows are counted here; drift comes from a direct call of the library.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import pandas as pd

from dcmon.windows import ComparedWith
from tests.chaos.monitors.world import CLASSES, FEATURES, HOUR, MonitorPlan, Row, Target
from tests.helpers import deepchecks_library as library

COUNTED = 24  # windows without rows that data flow monitors evaluate
SILENT = 3  # windows without rows that are due for a live version
GRACE = timedelta(minutes=1)
Numbers = Mapping[str, float]


@dataclass(frozen=True)
class ExpectedResult:
    """The expected result of a window; `entries` None means they are not compared."""

    n: int
    is_ok: bool
    numbers: Sequence[float] = ()
    entries: Numbers | None = None


class Expected:
    """The expected results of one version after all its rows were logged."""

    def __init__(self, target: Target, reference: Sequence[Row]) -> None:
        self.target, self.reference = target, pd.DataFrame(reference)
        self._drifts: dict[tuple[datetime, bool], list[float] | None] = {}

    @cached_property
    def _hours(self) -> Mapping[datetime, Sequence[Row]]:
        """The rows with their last label, by hour."""
        rows_by_hour: dict[datetime, list[Row]] = {}
        for name, row in self.target.rows.items():
            labels = self.target.labels.get(name, ())
            rows_by_hour.setdefault(self.target.floor(datetime.fromisoformat(row["_dc_time"])), []).append(
                {**row, "_dc_label": labels[-1] if labels else None}
            )
        return rows_by_hour

    @property
    def _times(self) -> list[datetime]:
        return sorted(datetime.fromisoformat(row["_dc_time"]) for row in self.target.rows.values())

    def windows(self, plan: MonitorPlan, now: datetime) -> set[datetime]:
        """Return the ends of the windows that must have a result by now."""
        ends = {hour + (1 + more) * HOUR for hour in self._hours for more in range(plan.hours)}
        newest = self._times[-1]
        over = self.target.floor(newest) + HOUR
        if plan.reads == "flow":
            ends |= set(self._silences(plan.hours))
        if self.target.is_live:
            count = COUNTED if plan.reads == "flow" else SILENT
            ends |= {over + (1 + more) * HOUR for more in range(count)}
        return {end for end in ends if end <= newest or end + GRACE <= now}

    def _silences(self, hours: int) -> Iterable[datetime]:
        for before, after in itertools.pairwise(self._times):
            end = self.target.floor(before) + (1 + hours) * HOUR
            for number in range(COUNTED):
                if end + number * HOUR <= self.target.floor(after):
                    yield end + number * HOUR

    def find(self, plan: MonitorPlan, end: datetime) -> ExpectedResult:
        """Return the expected result of a window."""
        rows = self._rows(end, plan.hours)
        if plan.reads == "flow":
            return ExpectedResult(len(rows), True, [float(len(rows))])
        if plan.reads == "labels":
            rows = [row for row in rows if row["_dc_label"] is not None]
            right = sum(row["_dc_label"] == row["_dc_prediction"] for row in rows)
            return ExpectedResult(len(rows), bool(rows), [right / len(rows)] if rows else [])
        if plan.check == "PercentOfNulls":
            shares = {name: sum(row[name] is None for row in rows) / max(1, len(rows)) for name in FEATURES}
            return ExpectedResult(
                len(rows), bool(rows), [max(shares.values())] if rows else [], shares if rows else None
            )
        numbers = self._drift(end, plan.compared is ComparedWith.PREVIOUS) if rows else None
        return ExpectedResult(len(rows), numbers is not None, numbers or [])

    def _rows(self, end: datetime, hours: int) -> list[Row]:
        return [row for number in range(hours, 0, -1) for row in self._hours.get(end - number * HOUR, ())]

    def _drift(self, end: datetime, is_previous: bool) -> list[float] | None:
        """Return the numbers of the library; None if it raises an error."""
        key = (end, is_previous)
        if key not in self._drifts:
            reference = pd.DataFrame(self._rows(end - HOUR, 1)) if is_previous else self.reference
            self._drifts[key] = self._by_library(pd.DataFrame(self._rows(end, 1)), reference)
        return self._drifts[key]

    def _by_library(self, current: pd.DataFrame, reference: pd.DataFrame) -> list[float] | None:
        from deepchecks.core.errors import DeepchecksBaseError

        if reference.empty:
            return None
        world = library.World("binary", FEATURES, CLASSES, None, current, reference)
        try:
            numbers: dict[str, Any] = library.value(library.Case("FeatureDrift"), world)
        except DeepchecksBaseError:
            return None
        return list(numbers.values()) or None
