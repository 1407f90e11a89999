"""Quarantined rows, as rows of output."""

from typing import TYPE_CHECKING, Any

from dcmon.commands.shared.wording import NO_SUCH_ROW
from dcmon.ingestion import quarantine
from dcmon.output import Page, Table, shortened

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.ingestion.quarantine import QuarantineFilter


COUNT_COLUMNS = ["model", "version", "kind", "reason", "rows", "first", "last", "example"]


def listing(app: "App", row_filter: "QuarantineFilter", limit: int | None) -> Page:
    """Show the newest rows; without a limit, show counts. Raises NotFound or InvalidInput for unknown names."""
    if limit is None:
        listed, columns = counts(app, row_filter), COUNT_COLUMNS
    else:
        listed, detail_column = _newest_rows(app, row_filter, limit), [] if app.output.is_narrow else ["detail"]
        columns = ["id", "model", "version", "kind", "sample_id", "reason", "field", *detail_column, "logged_at"]
    empty = "No row is quarantined." if row_filter.is_all else NO_SUCH_ROW
    return Page(listed, [Table(listed, columns, empty=empty, unfolded=["id", "reason"])])


def counts(app: "App", row_filter: "QuarantineFilter") -> list[dict[str, Any]]:
    """Count the rows by model, version and reason. Raises NotFound or InvalidInput for unknown names."""
    with app.org() as session:
        quarantine.require_known(session, row_filter)
        return quarantine.summary(session, row_filter)


def _newest_rows(app: "App", row_filter: "QuarantineFilter", limit: int) -> list[dict[str, Any]]:
    """List rows, the newest first; people see the beginning of an id."""
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
