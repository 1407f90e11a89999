"""The names of the metrics of the check EstimatedPerformance. It loads nothing heavy, because commands import it."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from dcmon.statistics.scorer_names import scorer_name

PER_CLASS = "_per_class"
_DEFAULT_SCORERS = {"Accuracy": "accuracy"}


class EstimatedMetric(StrEnum):
    """A number of each scorer: of all rows without labels, of the labelled rows, and the difference of both."""

    ESTIMATED = "estimated"
    REALISED = "realised"
    GAP = "gap"

    def of(self, scorer: str) -> str:
        """Return the name of the metric of a scorer, as `scorers_by_name` names it."""
        return f"{scorer} {self}"


def scorers_by_name(chosen: Any) -> dict[str, str]:
    """Return the scorers by the names that their metrics begin with.

    `chosen`: names of scorers, or scorers by name; nothing for the accuracy alone.
    """
    named = chosen or _DEFAULT_SCORERS
    if isinstance(named, Mapping):
        return {str(name): scorer_name(str(scorer)) for name, scorer in named.items()}
    scorers = list(named) if isinstance(named, list | tuple) else [named]
    return {str(scorer).removesuffix(PER_CLASS): scorer_name(str(scorer)) for scorer in scorers}


def metric_names(chosen: Any) -> Sequence[str]:
    """Return the names of the metrics, or what they begin with for a scorer of classes."""
    return [kind.of(name) for name in scorers_by_name(chosen) for kind in EstimatedMetric]
