"""Draw series of windows in which nothing changes, and run a monitor's check on them.

The reference stands for the world: rows of windows are drawn from it with replacement, in no order of time. The check
compares them with another draw of as many rows as the reference has, because the reference is a sample as well: so a
comparison has the noise of both sides. Each series has a reference of its own.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from dcmon.alerting.noise_alerts import QuietSeries
from dcmon.checks.dataset_schema import CheckValue
from dcmon.checks.resampling import Positions
from dcmon.monitoring.noise_source import NoiseSource
from dcmon.statistics.columns import Rows
from dcmon.windows import ComparedWith, Frequency

SEED, START = 2026, datetime(2026, 1, 5, tzinfo=UTC)
STEPS = {
    Frequency.HOUR: timedelta(hours=1),
    Frequency.DAY: timedelta(days=1),
    Frequency.WEEK: timedelta(days=7),
    Frequency.MONTH: timedelta(days=30),
}
# CPU seconds: of about all windows; of a value; of a feature; at most, on a slow machine or in a slow check.
BUDGET, PER_VALUE, PER_FEATURE, MAX_SECONDS = 4.0, 1.2e-7, 5e-5, 10.0
OUTPUT_COLUMNS = 3  # read beside the features: predictions, probabilities, labels
MIN_WINDOWS, MAX_WINDOWS = 60, 2_000
MAX_SERIES, MIN_LENGTH = 20, 30


@dataclass(frozen=True)
class DrawnWindow:
    """The result of a drawn window, with the attributes that rules read."""

    window_start: datetime
    window_end: datetime
    state: str
    metrics: Mapping[str, float]
    entries: Mapping[str, float]
    n: int
    noise: Mapping[str, float]


@dataclass(frozen=True)
class DrawPlan:
    """How many series are drawn, and how many windows each has after those that only give values."""

    n_series: int
    lead: int
    length: int


def plan(source: NoiseSource, lookback: int) -> DrawPlan:
    """Return what can be drawn in the budget. `lookback`: how many windows before a window the rule reads.

    The plan depends on the numbers of rows and features alone, so that a rule has the same numbers on each machine.
    """
    size = float(np.mean(source.sizes))
    per_reference = _seconds(source, len(source.check)) if source.check.is_comparison else 0.0
    n_windows = int(min(MAX_WINDOWS, max(MIN_WINDOWS, BUDGET / 2 / _seconds(source, size))))
    lead = min(lookback, n_windows // 2)
    longest_for_reference = int(n_windows * per_reference / (BUDGET / 2)) if per_reference else 1
    length = max(MIN_LENGTH, 5 * lead, longest_for_reference)
    n_series = min(MAX_SERIES, max(1, n_windows // (length + lead)))
    return DrawPlan(n_series, lead, max(1, n_windows // n_series - lead))


def draw(source: NoiseSource, drawn: DrawPlan) -> Iterator[QuietSeries]:
    """Yield series one by one; fewer than planned if they take too long."""
    deadline = time.process_time() + MAX_SECONDS
    for number in range(drawn.n_series):
        series = _Drawing(source, np.random.default_rng([SEED, number]), deadline).series(drawn)
        if series.windows:
            yield series
        if time.process_time() > deadline:
            return


def _seconds(source: NoiseSource, n_rows: float) -> float:
    """Return about how many CPU seconds a side of so many rows takes."""
    return (source.n_features + OUTPUT_COLUMNS) * (n_rows * PER_VALUE + PER_FEATURE)


class _Drawing:
    """A series while it is drawn."""

    def __init__(self, source: NoiseSource, chance: np.random.Generator, deadline: float) -> None:
        self._source, self._chance, self._deadline = source, chance, deadline
        self._reference = source.check.rows(self._positions(len(source.check)))
        n_steps = source.units * (2 if source.compared_with is ComparedWith.PREVIOUS else 1)
        self._steps: deque[Positions] = deque((self._step() for _ in range(n_steps)), maxlen=n_steps)

    def series(self, drawn: DrawPlan) -> QuietSeries:
        windows = []
        for number in range(drawn.lead + drawn.length):
            if time.process_time() > self._deadline:
                break
            windows.append(self._window(number))
        return QuietSeries(windows[: drawn.lead], windows[drawn.lead :], self._baseline())

    def _baseline(self) -> Mapping[str, float]:
        """Return the value on the reference, of a check that does not compare with it."""
        if self._source.check.is_comparison:
            return {}
        value = self._source.check.value(self._reference, None)
        return {**value.entries, **value.metrics}

    def _window(self, number: int) -> DrawnWindow:
        """Draw the next window. Windows of several steps share the rows of the steps that they share."""
        self._steps.append(self._step())
        units, step = self._source.units, STEPS[self._source.frequency]
        steps = list(self._steps)
        current = self._source.check.rows(np.concatenate(steps[-units:]))
        value = self._value(current, steps[:-units])
        end = START + (number + 1) * step
        n = self._source.check.n_read(current)
        return DrawnWindow(end - units * step, end, value.state, value.metrics, value.entries, n, value.noise)

    def _value(self, current: Rows, steps_before: Sequence[Positions]) -> CheckValue:
        check = self._source.check
        if not check.is_comparison:
            return check.value(current, None)
        if self._source.compared_with is ComparedWith.REFERENCE:
            return check.value(current, self._reference)
        earlier = steps_before or [self._step() for _ in range(self._source.units)]
        return check.value(current, check.rows(np.concatenate(earlier)))

    def _step(self) -> Positions:
        """Draw the rows of a step: a part of a window that had as many rows as a recent one."""
        return self._positions(max(1, round(self._chance.choice(self._source.sizes) / self._source.units)))

    def _positions(self, n: int) -> Positions:
        return self._chance.integers(0, len(self._source.check), n)
