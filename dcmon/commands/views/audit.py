"""The results of an audit, as tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dcmon.output import Page, Table

if TYPE_CHECKING:
    from dcmon.ingestion.audit_reader import AuditResult

CHECKED_COLUMNS = {  # headings by key
    "lineage": "schema", "lines": "ledger lines", "versions": "", "samples": "", "quarantined": "",
    "read_ranges": "read ranges", "partitions": "",
}  # fmt: skip
FINDING_COLUMNS = {"lineage": "schema", "check": "", "where": "place", "message": "", "advice": ""}


def report(results: "Sequence[AuditResult]") -> Page:
    """Show the checked schemas and the findings.

    There is a remark on each organization that was not checked.
    """
    checked = [{"lineage": _lineage(result), **result.checked} for result in results]
    findings: list[dict[str, Any]] = [
        {"lineage": _lineage(result), **vars(finding)} for result in results for finding in result.findings
    ]
    left_out = {result.org.name: str(result.left_out) for result in results if result.org and result.left_out}
    data = {"is_well": not findings, "checked": checked, "findings": findings, "left_out": left_out}
    parts = [
        Table(checked, CHECKED_COLUMNS, title="Checked"),
        Table(findings, FINDING_COLUMNS, empty="Everything agrees."),
    ]
    remarks = [f"Organization {name!r} was not checked: {error}" for name, error in left_out.items()]
    return Page(data, parts, remarks, [finding["check"] for finding in findings])


def _lineage(result: "AuditResult") -> str:
    return result.org.name if result.org else "public"
