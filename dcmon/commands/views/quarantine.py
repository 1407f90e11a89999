"""Quarantined rows, as rows of output."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dcmon.commands.shared.wording import NO_SUCH_ROW
from dcmon.data_formats import Format
from dcmon.ingestion import quarantine
from dcmon.ingestion.field_value import value_text
from dcmon.ingestion.rejected_row import RejectionReason
from dcmon.output import Page, Table, shortened

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.ingestion.quarantine import QuarantineFilter


MAX_VALUE_LENGTH = 24
MOST_NAMES = 100_000  # rows whose ids -o name lists without --rows and --limit
COUNT_COLUMNS = ["model", "version", "kind", "reason", "rows", "field", "value", "first", "last", "example"]
NARROW_COUNT_COLUMNS = ["model", "version", "reason", "rows", "field", "value", "example"]
# Rows of labels have no version.
ROW_COLUMNS = ["id", "model", "version", "sample_id", "reason", "field", "value", "detail", "logged_at"]
NARROW_ROW_COLUMNS = ["id", "model", "version", "sample_id", "reason", "field", "value"]


def listing(app: "App", row_filter: "QuarantineFilter", limit: int | None) -> Page:
    """Show counts, or the newest rows: with a limit, and as names, which are those of rows.

    Raises NotFound or InvalidInput for unknown names.
    """
    if limit is None and app.output.format is Format.name:
        limit = MOST_NAMES
    if limit is None:
        listed, columns, narrow = counts(app, row_filter), COUNT_COLUMNS, NARROW_COUNT_COLUMNS
    else:
        listed, columns, narrow = _newest_rows(app, row_filter, limit), ROW_COLUMNS, NARROW_ROW_COLUMNS
    if not app.output.is_data:
        listed = [{**row, "value": _shown(row)} for row in listed]
    empty = "No row is quarantined." if row_filter.is_all else NO_SUCH_ROW
    return Page(listed, [Table(listed, columns, empty=empty, unfolded=["id", "reason"], narrow=narrow)])


def _shown(row: Mapping[str, Any]) -> str | None:
    """Return the value of a row as JSON text, shortened, so that the text "1" and the number 1 differ.

    None if the field is missing.
    """
    if row["reason"] == RejectionReason.MISSING_FEATURE:
        return None
    return shortened(value_text(row["value"]), MAX_VALUE_LENGTH)


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
        listed if app.output.is_data else [{**row, "sample_id": shortened(row["sample_id"] or "-")} for row in listed]
    )


def detail(app: "App", row_id: int) -> dict[str, Any]:
    """Read a quarantined row as it was received. Raises QuarantinedNotFound."""
    with app.org() as session:
        return quarantine.row_details(session, row_id)
