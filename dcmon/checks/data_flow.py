"""The check DataFlow of dcmon itself, which counts the rows that arrive."""

from collections.abc import Sequence

from dcmon import errors
from dcmon.checks.catalogue import DATA_FLOW
from dcmon.db.tables.org import Check

METRICS = ("rows", "labels", "label ratio", "quarantined", "quarantine share", "lag")


def is_data_flow(check: Check) -> bool:
    """Return True if the check is DataFlow, which counts arriving rows."""
    return (check.module_name, check.class_name) == (DATA_FLOW.module_name, DATA_FLOW.class_name)


def require_metrics(chosen: Sequence[str]) -> None:
    """Raise InvalidInput for a metric that DataFlow does not have."""
    for name in chosen:
        if name not in METRICS:
            raise errors.UnknownChoice("metric of DataFlow", name, METRICS)
