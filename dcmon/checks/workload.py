"""What a check worker gets and what it returns: plain values, which can be pickled.

The parent process reads rows (monitoring.row_loader) and never runs a check; the check worker (checks.worker) never
has access to the database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from dcmon.checks.dataset_schema import CheckValue, DatasetSchema
from dcmon.storage.column_blocks import ColumnarSample
from dcmon.windows import Window


@dataclass(frozen=True)
class RowsKey:
    """Identify the rows of a version's window, or those of a revision of its reference.

    Equal keys stand for the same rows, so that rows of a reference are cached from one window to the next. `window`:
    None for the reference. `filters`: as JSON. `labelled`: True for only the rows with a label. `limit`: how many rows
    at most; None: all rows.
    """

    org_id: int
    version_id: int
    window: Window | None
    reference_revision: int
    filters: str
    labelled: bool
    limit: int | None
    features: tuple[str, ...] = ()

    @property
    def is_cacheable(self) -> bool:
        """True if other windows need the same rows."""
        return self.window is None


class Output(StrEnum):
    """What a check worker makes of a request: a value, what deepchecks shows of it, or the report of a suite."""

    VALUE = "value"
    DISPLAY = "display"
    SUITE = "suite"


class Picture(NamedTuple):
    """What deepchecks shows of a check. `type`: "plotly" or "table", whose data is JSON; or "html"."""

    type: str
    data: str


@dataclass(frozen=True)
class CheckRequest:
    """A monitor's check, the rows to run it on, and the rows to compare with.

    `is_baseline`: True if the check runs on the reference itself (alerting.baselines).
    """

    monitor_id: int
    module_name: str
    class_name: str
    params: Mapping[str, Any]
    additional_kwargs: Mapping[str, Any] | None
    features: tuple[str, ...]
    current: RowsKey
    compared: RowsKey | None = None
    is_baseline: bool = False
    output: Output = Output.VALUE

    @property
    def keys(self) -> tuple[RowsKey, ...]:
        """The rows that the check reads."""
        return (self.current,) if self.compared is None else (self.current, self.compared)

    def with_features(self, features: tuple[str, ...]) -> "CheckRequest":
        """Return the same request on rows with these features."""
        current = replace(self.current, features=features)
        return replace(self, current=current, compared=self.compared and replace(self.compared, features=features))


@dataclass(frozen=True)
class Workload:
    """The checks to run on a window of a version, and their rows.

    `rows`: None for a key without rows; rows that the check worker has cached may be left out. `evicted`: the cached
    rows that the check worker drops.
    """

    schema: DatasetSchema
    requests: Sequence[CheckRequest]
    rows: Mapping[RowsKey, ColumnarSample | None] = field(default_factory=dict)
    evicted: Sequence[RowsKey] = ()

    @property
    def keys(self) -> set[RowsKey]:
        """The rows that the checks read."""
        return {key for request in self.requests for key in request.keys}


@dataclass(frozen=True)
class CheckResult:
    """The value of a monitor's check.

    `n`: the number of rows that the value was computed from. `limit`: how many rows were read at most; None: all rows.
    `pictures`: what was asked for in place of a value.
    """

    monitor_id: int
    value: CheckValue
    n: int = 0
    duration: timedelta = timedelta()
    limit: int | None = None
    is_baseline: bool = False
    pictures: tuple[Picture, ...] = ()
