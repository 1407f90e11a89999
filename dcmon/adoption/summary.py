"""What is moved, and what is not and why, by kind."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class KindSummary:
    """How many objects of a kind the old system has, and how many are moved.

    `reasons`: why others are not, or which run moved them.
    """

    total: int = 0
    adopted: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass
class Summary:
    """The summary of an organization."""

    organization: str
    kinds: dict[str, KindSummary] = field(default_factory=dict)

    def add(self, kind: str, *, adopted: int = 0, left: int = 0, reason: str = "") -> None:
        """Count objects that are moved, and objects that are not, with the reason."""
        entry = self.kinds.setdefault(kind, KindSummary())
        entry.total += adopted + left
        entry.adopted += adopted
        if reason:
            entry.reasons[reason] += adopted + left

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each kind."""
        return [
            {
                "org": self.organization,
                "kind": kind,
                "total": entry.total,
                "adopted": entry.adopted,
                "not_adopted": entry.total - entry.adopted,
                "reason": "; ".join(f"{count}: {reason}" for reason, count in entry.reasons.items()) or None,
            }
            for kind, entry in self.kinds.items()
        ]
