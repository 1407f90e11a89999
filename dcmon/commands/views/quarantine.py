"""Quarantined rows, as rows of output."""

from typing import TYPE_CHECKING, Any

from dcmon.ingestion import quarantine
from dcmon.output import shortened

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.ingestion.quarantine import QuarantineFilter


def counts(app: "App", row_filter: "QuarantineFilter") -> list[dict[str, Any]]:
    """Count the rows by model, version and reason. Raises NotFound or InvalidInput for unknown names."""
    with app.org() as session:
        quarantine.require_known(session, row_filter)
        return quarantine.summary(session, row_filter)


def rows(app: "App", row_filter: "QuarantineFilter", limit: int) -> list[dict[str, Any]]:
    """List rows, the newest first; people see the beginning of an id. Raises NotFound or InvalidInput."""
    with app.org() as session:
        quarantine.require_known(session, row_filter)
        listed = quarantine.newest_rows(session, row_filter, limit)
    return (
        listed if app.output.is_json else [{**row, "sample_id": shortened(row["sample_id"] or "-")} for row in listed]
    )


def detail(app: "App", row_id: int) -> dict[str, Any]:
    """Read a quarantined row as it was received. Raises QuarantinedNotFound."""
    with app.org() as session:
        return quarantine.row_details(session, row_id)
