"""The rows that a prune deletes, as a question and as a table."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dcmon.commands.shared.confirmation import question_of
from dcmon.output import Page, Table
from dcmon.storage.expiry import Counts

if TYPE_CHECKING:
    from dcmon.jobs.prune import Pruned

COLUMNS = ["organization", "model", "version", "table", "rows"]
BELONGING = ("ids", "labels", "quarter_hours")
NAMES = {"quarantine": "quarantined rows", "quarter_hours": "quarter hours", "waiting_labels": "waiting labels"}


def phrases(expired: "Sequence[Pruned]") -> list[str]:
    """Return what is deleted, for people; empty if it is nothing."""
    total = sum((result.removed for result in expired), Counts())
    return [f"delete {count_text(total)} for ever"] if total else []


def question(expired: "Sequence[Pruned]") -> str | None:
    """Return the question to confirm; None if there is nothing to delete."""
    return next((question_of(phrase) for phrase in phrases(expired)), None)


def report(pruned: "Sequence[Pruned]") -> Page:
    """Show the deleted rows, with a remark on each organization that was skipped."""
    rows = _rows(pruned)
    remarks = [f"Organization {result.org.name!r} was skipped: {result.skipped}" for result in pruned if result.skipped]
    return Page(rows, [Table(rows, COLUMNS, empty="Nothing is past its retention.")], remarks)


def _rows(pruned: "Sequence[Pruned]") -> list[dict[str, Any]]:
    return [
        {"organization": result.org.name, "model": place.model, "version": place.version or None,
         "table": place.table, "rows": count}
        for result in pruned for place, count in sorted(result.removed.items())
    ]  # fmt: skip


def count_text(removed: Counts) -> str:
    """Write counts as text, without the rows that belong to samples."""
    rows = Counter[str]()
    for place, count in removed.items():
        rows[place.table] += count
    if rows["samples"]:
        belonging = sum(rows.pop(table, 0) for table in BELONGING)
        rows["samples (and what belongs to them)" if belonging else "samples"] = rows.pop("samples")
    return " and ".join(f"{count:,} {NAMES.get(table, table)}" for table, count in sorted(rows.items()) if count)
