"""Sources of files, as rows, and the results of scans."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dcmon.ingestion.files import sources
from dcmon.output import Fields, Page, Part, Table

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.ingestion.files.scanner import ScanResult

SCAN_COLUMNS = [
    *("source", "seen", "loaded", "rows", "stored", "duplicates", "quarantined", "being_written", "failed"),
]  # fmt: skip


def rows(app: "App") -> list[dict[str, Any]]:
    """List sources with their counts of files and rows."""
    with app.org() as session:
        return [sources.describe(session, source) for source in sources.entries(session)]


def row(app: "App", name: str) -> dict[str, Any]:
    """Read a source with its counts. Raises SourceNotFound."""
    with app.org() as session:
        return sources.describe(session, sources.find(session, name))


def detail(app: "App", name: str) -> Page:
    """Show a source, and its files that can't be read. Raises SourceNotFound."""
    with app.org() as session:
        source = sources.find(session, name)
        described = sources.describe(session, source)
        failed = [
            {"file": file.path, "rows_in": file.next_row, "error": file.error}
            for file in sources.failed_files(session, source)
        ]
    parts: list[Part] = [Fields(described)]
    if failed:
        parts.append(Table(failed, ["file", "rows_in", "error"], title="Files that can't be read"))
    return Page({**described, "failed_files": failed}, parts)


def scans(results: "Sequence[ScanResult]") -> Page:
    """Show the counts of scans, and a remark for each file that can't be read."""
    listed = [_scan_row(scan) for scan in results]
    remarks = [remark for scan in results for remark in _scan_remarks(scan)]
    return Page(listed, [Table(listed, SCAN_COLUMNS, empty="No source yet.")], remarks)


def _scan_remarks(scan: "ScanResult") -> list[str]:
    remarks = [f"{scan.source}: {path}: {reason}" for path, reason in scan.failed.items()]
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
