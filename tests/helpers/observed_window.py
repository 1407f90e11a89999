"""The window of a result as the state machine of alerts observes it."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class ObservedWindow:
    """The result of a window, without a database."""

    window_start: datetime
    window_end: datetime
    state: str
    metrics: dict[str, float]
    entries: dict[str, float] = field(default_factory=dict)
    n: int = 100
