"""The specification of a monitor: all that a person chooses of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dcmon.windows import ComparedWith, Frequency, WindowGrid

# The fields that a monitor's values depend on: when one of them changes, a new revision of the monitor begins.
VALUE_FIELDS = ("frequency", "aggregation_window", "data_filters", "additional_kwargs", "compared_with", "rows")


@dataclass(frozen=True)
class MonitorSpec:
    """What a person chooses of a monitor.

    `aggregation_window`: units of the frequency that a window spans. `lookback`: how far its graph reaches back; None:
    a default by frequency. `rows`: the most rows that it reads of a window; 0: all; None: a default of the settings.
    """

    name: str
    frequency: Frequency
    aggregation_window: int = 1
    lookback: timedelta | None = None
    description: str = ""
    data_filters: Mapping[str, Any] | None = None
    additional_kwargs: Mapping[str, Any] | None = None
    dashboard_id: int | None = None
    compared_with: ComparedWith = ComparedWith.REFERENCE
    rows: int | None = None

    @property
    def grid(self) -> WindowGrid:
        """The grid that its windows lie on."""
        return WindowGrid(self.frequency, self.aggregation_window)

    def has_other_values(self, other: "MonitorSpec") -> bool:
        """Return True if the values of the two monitors can differ."""
        return any(getattr(self, name) != getattr(other, name) for name in VALUE_FIELDS)
