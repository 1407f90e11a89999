"""What a process that runs checks is given and what it answers: plain values, which can be pickled.

The parent reads rows (monitoring.row_loader) and never runs a check; whoever runs checks (dcmon.checks.worker) never
sees a database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from dcmon.checks.dataset_schema import Layout, Value
from dcmon.storage.column_blocks import Sheet
from dcmon.windows import Window


@dataclass(frozen=True)
class Key:
    """Which rows: those of a version's window, or of a revision of its reference where there is no window.

    Two that are equal are the same rows, so those of a reference are kept from one window to the next.
    """

    org_id: int
    version_id: int
    window: Window | None
    reference_revision: int
    filters: str  # as JSON
    labelled: bool
    limit: int | None  # None: all of them
    features: tuple[str, ...] = ()

    @property
    def is_lasting(self) -> bool:
        """Whether other windows will ask for them too."""
        return self.window is None


@dataclass(frozen=True)
class Ask:
    """A monitor's check, the rows that it runs on, and those that it compares them with.

    `is_baseline`: it runs on the reference itself (dcmon.alerting.baselines).
    """

    monitor_id: int
    module_name: str
    class_name: str
    params: Mapping[str, Any]
    additional_kwargs: Mapping[str, Any] | None
    features: tuple[str, ...]
    current: Key
    compared: Key | None = None
    is_baseline: bool = False

    @property
    def keys(self) -> tuple[Key, ...]:
        """The rows that it is about."""
        return (self.current,) if self.compared is None else (self.current, self.compared)

    def reading(self, features: tuple[str, ...]) -> "Ask":
        """The same, with these features read of its rows."""
        current = replace(self.current, features=features)
        return replace(self, current=current, compared=self.compared and replace(self.compared, features=features))


@dataclass(frozen=True)
class Workload:
    """The checks to be run on a window of a version, and their rows.

    None says that there are no such rows. Those that whoever runs it keeps (`Key.is_lasting`) may be left out of
    `rows`, and `forgotten` names those that it need not keep any longer.
    """

    layout: Layout
    asks: Sequence[Ask]
    rows: Mapping[Key, Sheet | None] = field(default_factory=dict)
    forgotten: Sequence[Key] = ()

    @property
    def keys(self) -> set[Key]:
        """The rows that are asked about."""
        return {key for ask in self.asks for key in ask.keys}


@dataclass(frozen=True)
class Answer:
    """What a monitor found: the value, from how many rows (of at most `limit`; None: of all), in which time."""

    monitor_id: int
    value: Value
    n: int = 0
    duration: timedelta = timedelta()
    limit: int | None = None
    is_baseline: bool = False
