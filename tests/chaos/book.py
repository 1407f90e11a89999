"""The generator's own record of all rows that were sent and acknowledged."""

import math
import threading
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.rows import Model, Poison, Target


@dataclass(frozen=True)
class Request:
    """Rows sent together: samples (number, variant), labels (sample id, value), poison.

    `kind` is samples, labels or message. The row of a message is a whole message that can't be stored.
    """

    kind: str
    target: Target
    rows: list[bytes]
    samples: Sequence[tuple[int, int]] = ()
    labels: Sequence[tuple[str, Any]] = ()
    poison: Sequence[Poison] = ()


@dataclass(frozen=True)
class SentLabel:
    """A sent label, logged between two moments (seconds of the monotonic clock)."""

    value: Any
    after: float
    before: float


@dataclass
class AcceptedRows:
    """Everything that was acknowledged. Safe for several threads."""

    samples: dict[Target, dict[int, set[int]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))
    labels: dict[Model, dict[str, list[SentLabel]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    poison: dict[tuple[Model, int | None, bytes], Poison] = field(default_factory=dict)
    messages: set[bytes] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, request: Request, started_at: float, ended_at: float, *, is_repeated: bool) -> None:
        """Record an acknowledged request.

        An attempt without response may still be logged later, so a repeated label has no upper bound.
        """
        target = request.target
        with self._lock:
            self.counts["requests"] += 1
            self.counts["rows"] += len(request.rows)
            for number, variant in request.samples:
                self.samples[target][number].add(variant)
            for name, value in request.labels:
                self.labels[target.model][name].append(
                    SentLabel(value, started_at, math.inf if is_repeated else ended_at)
                )
            for bad in request.poison:
                version = target.version_id if bad.kind == "samples" else None
                self.poison[target.model, version, bad.row] = bad
            if request.kind == "message":
                self.messages.update(request.rows)

    def count(self, name: str) -> None:
        with self._lock:
            self.counts[name] += 1

    def fault(self, fault: str) -> None:
        """Record a response that a client must not get."""
        with self._lock:
            self.faults.append(fault)
