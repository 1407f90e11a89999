"""The specification of a monitor: all that a person can choose."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dcmon.windows import ComparedWith, Frequency, WindowGrid

# The fields that a monitor's values depend on: when one of them changes, a new revision of the monitor begins.
VALUE_FIELDS = ("frequency", "aggregation_window", "data_filters", "additional_kwargs", "compared_with", "rows")


@dataclass(frozen=True)
class MonitorSpec:
    """What a person chooses when creating or changing a monitor.

    `aggregation_window`: how many units of the frequency a window spans. `lookback`: how far its graph reaches back;
    None: the default of the frequency. `rows`: how many rows of a window it reads at most; 0: all rows; None: the
    default of the settings.
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
        """The grid of the monitor's windows."""
        return WindowGrid(self.frequency, self.aggregation_window)

    def has_other_values(self, changed: "MonitorSpec") -> bool:
        """Return True if a monitor has other values after a change to this specification."""
        return any(_meaning(getattr(self, name)) != _meaning(getattr(changed, name)) for name in VALUE_FIELDS)


def _meaning(value: Any) -> Any:
    """Return a field without the keys that are null, which mean the same as keys that are absent."""
    if isinstance(value, Mapping):
        return {key: _meaning(entry) for key, entry in value.items() if entry is not None}
    return [_meaning(entry) for entry in value] if isinstance(value, list) else value
