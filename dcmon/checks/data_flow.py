"""The check on the flow of rows: dcmon's own, which counts what arrives."""

from collections.abc import Sequence

from dcmon import errors
from dcmon.checks.catalogue import DATA_FLOW
from dcmon.db.tables.org import Check

METRICS = ("rows", "labels", "label ratio", "quarantined", "quarantine share", "lag")  # of the flow


def is_data_flow(check: Check) -> bool:
    """Whether a check counts what comes in."""
    return (check.module_name, check.class_name) == (DATA_FLOW.module_name, DATA_FLOW.class_name)


def require_metrics(chosen: Sequence[str]) -> None:
    """Raises InvalidInput for a metric that there is not."""
    for each in chosen:
        if each not in METRICS:
            raise errors.InvalidInput(f"The flow has no metric {each!r}: it has {', '.join(METRICS)}.")
