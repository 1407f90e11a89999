"""How serious an alert or a health problem is."""

from collections.abc import Mapping
from enum import StrEnum

from dcmon import errors


class Severity(StrEnum):
    """The severities in ascending order. Members compare as text: compare their ranks."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """The place in ascending order, from 0."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}
_DESCENDING_RANKS: Mapping[str, int] = {severity: rank for rank, severity in enumerate(reversed(Severity))}


def parse(name: str) -> Severity:
    """Return the severity of this name. Raises InvalidInput."""
    try:
        return Severity(name)
    except ValueError:
        raise errors.UnknownChoice("severity", name, Severity) from None


def descending_rank(name: str | None) -> int:
    """Return a sort key: 0 for the most severe.

    The key of a text that is not a severity is the largest.
    """
    return _DESCENDING_RANKS.get(name or "", len(_DESCENDING_RANKS))


def above(name: str) -> list[Severity]:
    """Return the severities that are more serious than this one."""
    return list(Severity)[Severity(name).rank + 1 :]
