"""What a process that runs checks is given and what it answers: plain values, which can be pickled.

The parent reads rows (dcmon.gathering) and never runs a check; whoever runs checks (dcmon.bench) never sees a database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from dcmon.checks.layout import Layout, Value
from dcmon.windows import Window


@dataclass(frozen=True)
class Sample:
    """Rows as tuples in the order of names; the names are the API's."""

    names: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]


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
    limit: int

    @property
    def is_lasting(self) -> bool:
        """Whether other windows will ask for them too."""
        return self.window is None


@dataclass(frozen=True)
class Ask:
    """A monitor's check, the rows that it runs on, and those that it compares them with.

    `is_baseline`: it runs on the reference itself (dcmon.baselines).
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


@dataclass(frozen=True)
class Workload:
    """The checks to be run on a window of a version, and their rows.

    None says that there are no such rows. Those that whoever runs it keeps (`Key.is_lasting`) may be left out of
    `rows`, and `forgotten` names those that it need not keep any longer.
    """

    layout: Layout
    asks: Sequence[Ask]
    rows: Mapping[Key, Sample | None] = field(default_factory=dict)
    forgotten: Sequence[Key] = ()

    @property
    def keys(self) -> set[Key]:
        """The rows that are asked about."""
        return {key for ask in self.asks for key in (ask.current, ask.compared) if key is not None}


@dataclass(frozen=True)
class Answer:
    """What a monitor found: the value, from how many rows, in which time."""

    monitor_id: int
    value: Value
    n: int = 0
    duration: timedelta = timedelta()
    is_baseline: bool = False
