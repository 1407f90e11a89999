"""Sources of files, as rows, and the results of scans."""

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dcmon.formatting import count_of
from dcmon.ingestion.files import source_losses, sources, store_keys
from dcmon.output import Fields, Page, Part, Table

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.app import App
    from dcmon.db.tables.org import DataSource
    from dcmon.ingestion.files.scanner import ScanResult
    from dcmon.ingestion.files.source_losses import SourceLoss

LOST = "lost_within_a_day"
COLUMNS = ["name", "url", "kind", "model", "version", "loaded", "failed", "stored", LOST, "scanned_at", "last_error"]
NARROW_COLUMNS = ["name", "loaded", "failed", LOST, "scanned_at", "last_error"]  # "source show" has the others
REJECTED_COLUMNS = ["rows", "reason", "field", "file", "row", "value", "detail"]
SCAN_COLUMNS = [
    *("source", "seen", "loaded", "rows", "stored", "duplicates", "quarantined", "being_written", "failed"),
]  # fmt: skip


def listed(app: "App") -> Page:
    """List sources with their counts of files and rows, and what they lost within a day."""
    with app.org() as session:
        losses = source_losses.by_source(session)
        rows = [_with_loss(session, source, losses) for source in sources.entries(session)]
    shown = [{**row, LOST: _loss_text(losses.get(row["name"]))} for row in rows]
    empty = 'No source yet: "dcmon source create NAME URL --model MODEL".'
    return Page(rows, [Table(shown, COLUMNS, empty=empty, unfolded=["name", "scanned_at"], narrow=NARROW_COLUMNS)])


def _with_loss(session: "Session", source: "DataSource", losses: "Mapping[str, SourceLoss]") -> dict[str, Any]:
    """Return a source as a row of the command's output. Its loss is None if it lost no row within a day."""
    loss = losses.get(source.name)
    lost = None if loss is None else {
        "rows": loss.quarantined, "of": loss.received, "share": round(loss.share, 4), "reasons": list(loss.reasons),
        "since": loss.since, "file": loss.file, "detail": loss.detail,
    }  # fmt: skip
    return {**sources.describe(session, source), LOST: lost}


def _loss_text(loss: "SourceLoss | None") -> str | None:
    if loss is None:
        return None
    return f"{loss.share:.1%} ({loss.quarantined:,} of {loss.received:,}): {', '.join(loss.reasons)}"


def row(app: "App", name: str) -> dict[str, Any]:
    """Read a source with its counts. Raises SourceNotFound."""
    with app.org() as session:
        return sources.describe(session, sources.find(session, name))


def detail(app: "App", name: str) -> Page:
    """Show a source, its quarantined rows by reason, and its files that can't be read. Raises SourceNotFound."""
    with app.org() as session:
        source = sources.find(session, name)
        losses = source_losses.by_source(session)
        described = _with_loss(session, source, losses)
        rejected = source_losses.by_reason(session, source.id)
        failed = [
            {"file": file.path, "rows_in": file.next_row, "error": file.error}
            for file in sources.failed_files(session, source)
        ]
    parts: list[Part] = [Fields({**described, LOST: _loss_text(losses.get(name))})]
    if rejected:
        parts.append(Table(rejected, REJECTED_COLUMNS, title="Rows in quarantine, by reason, with the first of each"))
    if failed:
        parts.append(Table(failed, ["file", "rows_in", "error"], title="Files that can't be read"))
    return Page({**described, "rejected_rows": rejected, "failed_files": failed}, parts)


def changed(row: dict[str, Any]) -> Page:
    """Show a source that was changed, and how to try its files again that could not be read."""
    remarks = []
    if row["failed"]:
        typed = f'"dcmon source scan {shlex.quote(row["name"])} --retry"'
        remarks.append(f"{count_of(row['failed'], 'file')} could not be read before: {typed} tries again.")
    return Page(row, [Fields(row)], remarks)


def path_set(row: dict[str, Any]) -> Page:
    """Show the sources of a model's object store path, and what is missing to read them."""
    remarks = []
    if row["path"] is not None and not row["has_keys"]:
        remarks.append('The organization has no keys of its own yet: "dcmon source set-keys" sets them.')
    return Page(row, [Fields(row)], remarks)


def keys(app: "App") -> list[dict[str, Any]]:
    """List the organization's own keys of object stores, masked."""
    with app.org() as session:
        described = [store_keys.describe(stored) for stored in store_keys.entries(session)]
    return [{"id": row["id"], "type": row["type"], **row["parameters"]} for row in described]


def scans(results: "Sequence[ScanResult]") -> Page:
    """Show the counts of scans, and a remark for each file that can't be read."""
    listed = [_scan_row(scan) for scan in results]
    remarks = [remark for scan in results for remark in _scan_remarks(scan)]
    return Page(listed, [Table(listed, SCAN_COLUMNS, empty="No source yet.")], remarks)


def _scan_remarks(scan: "ScanResult") -> list[str]:
    remarks = [f"{scan.source}: {loaded.path}: {loaded.remark}" for loaded in scan.loaded if loaded.remark]
    remarks += [f"{scan.source}: {path}: {reason}" for path, reason in scan.failed.items()]
    remarks += [f"{scan.source}: {directory}: {reason}" for directory, reason in scan.waiting.items()]
    if scan.failed_before:
        files, pronoun = ("1 file", "it") if scan.failed_before == 1 else (f"{scan.failed_before} files", "them")
        remarks.append(f'{files} still can\'t be read: "dcmon source show {scan.source}" lists {pronoun}.')
    return remarks


def _scan_row(scan: "ScanResult") -> dict[str, Any]:
    outcomes = [loaded.outcome for loaded in scan.loaded]
    return {
        "source": scan.source,
        "seen": scan.seen,
        "loaded": len(scan.loaded),
        "rows": sum(counts.taken for counts in outcomes),
        "stored": sum(counts.stored for counts in outcomes),
        "duplicates": sum(counts.duplicates for counts in outcomes),
        "quarantined": sum(counts.quarantined for counts in outcomes),
        "being_written": scan.being_written,
        "failed": len(scan.failed),
        "failed_before": scan.failed_before,
        "failed_files": dict(scan.failed),
    }
