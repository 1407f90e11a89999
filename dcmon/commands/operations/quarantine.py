"""Retry and drop quarantined rows."""

from typing import TYPE_CHECKING

from dcmon.commands.shared.dry_run_output import would
from dcmon.formatting import count_of
from dcmon.ingestion import quarantine, quarantine_corrections

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.ingestion.quarantine import QuarantineFilter
    from dcmon.ingestion.quarantine_corrections import RetryResult


def retry(app: "App", row_filter: "QuarantineFilter", by: str, *, dry_run: bool) -> "RetryResult":
    """Try to store rows again. Raises NotFound or InvalidInput for unknown names."""
    org = app.organization()
    with app.org(org) as session:
        quarantine.require_known(session, row_filter)
    retried = quarantine_corrections.retry_quarantined(app.engine, org, row_filter, by, dry_run=dry_run)
    counts = {"store {}": (retried.stored, "row"), "delete {}": (retried.duplicates, "duplicate")}
    would(app.output, *(verb.format(count_of(*counted)) for verb, counted in counts.items() if counted[0]))
    return retried


def drop(app: "App", row_filter: "QuarantineFilter", by: str) -> int:
    """Drop rows for ever; return how many."""
    return quarantine_corrections.drop_quarantined(app.engine, app.organization(), row_filter, by)
