"""How serious an alert or a health problem is."""

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


def parse(name: str) -> Severity:
    """Return the severity of this name. Raises InvalidInput."""
    try:
        return Severity(name)
    except ValueError:
        raise errors.InvalidInput(f"There is no severity {name!r}: it is one of {', '.join(Severity)}.") from None


def above(name: str) -> list[Severity]:
    """Return the severities that are more serious than this one."""
    return list(Severity)[Severity(name).rank + 1 :]
