"""Check that no row was lost or duplicated: ledgers, tables and offsets agree."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from dcmon.commands.shared.groups import single

if TYPE_CHECKING:
    from dcmon.ingestion.audit_reader import AuditResult

app = single()

CHECKED_COLUMNS = {  # headings by key
    "lineage": "schema", "lines": "ledger lines", "versions": "", "samples": "", "quarantined": "",
    "spans": "read ranges", "partitions": "",
}  # fmt: skip
FINDING_COLUMNS = {"lineage": "schema", "check": "", "where": "place", "message": "", "advice": ""}


@app.command()
def audit(ctx: typer.Context) -> None:
    """Check ledgers, tables and offsets of every organization, or of --org, while everything runs.

    Exit 1 when counts differ, 8 when an organization could not be checked. The audit counts every table: run it at a
    quiet hour if the database is large.

    Example: dcmon audit -o json
    """
    from dcmon.ingestion import audit_reader

    results = audit_reader.run_audit(ctx.obj.engine, ctx.obj.organizations())
    left_out = {result.org.name: result.left_out for result in results if result.org and result.left_out}
    findings = [
        {"lineage": _lineage(result), **vars(finding)}
        for result in results for finding in result.findings
    ]  # fmt: skip
    _show(ctx, results, findings)
    for name, reason in left_out.items():
        ctx.obj.output.say(f"Organization {name!r} was not checked: {reason}")
    if findings or left_out:
        raise typer.Exit(1 if findings else 8)


def _lineage(result: "AuditResult") -> str:
    return result.org.name if result.org else "public"


def _show(ctx: typer.Context, results: "Sequence[AuditResult]", findings: list[dict[str, Any]]) -> None:
    output = ctx.obj.output
    checked = [{"lineage": _lineage(result), **result.checked} for result in results]
    if output.is_json:
        left_out = {result.org.name: str(result.left_out) for result in results if result.org and result.left_out}
        output.value({"is_well": not findings, "checked": checked, "findings": findings, "left_out": left_out})
    else:
        output.table(checked, CHECKED_COLUMNS, title="Checked")
        output.table(findings, FINDING_COLUMNS, empty="Everything agrees.")
