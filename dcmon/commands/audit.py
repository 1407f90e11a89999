"""Check that nothing was lost or doubled: ledgers, tables and offsets agree."""

from collections.abc import Sequence
from typing import Any

import typer

from dcmon.commands.shared.groups import single

app = single()


@app.command()
def audit(ctx: typer.Context) -> None:
    """Check ledgers, tables and offsets of every organization, or of --org, while everything runs.

    Exit 1 when something differs, 8 when an organization could not be checked. It counts every table: on a large
    database, choose a quiet hour.

    Example: dcmon audit -o json
    """
    from dcmon.ingestion import audit_reader

    found = audit_reader.run_audit(ctx.obj.engine, ctx.obj.organizations())
    left_out = [(each.org.name, each.left_out) for each in found if each.org and each.left_out]
    findings = [
        {"lineage": each.org.name if each.org else "public", **vars(finding)}
        for each in found for finding in each.findings
    ]  # fmt: skip
    _show(ctx, found, findings)
    for name, why in left_out:
        ctx.obj.output.say(f"{name} was not checked: {why}")
    if findings or left_out:
        raise typer.Exit(1 if findings else 8)


def _show(ctx: typer.Context, found: "Sequence[Any]", findings: list[dict[str, Any]]) -> None:
    output = ctx.obj.output
    checked = [{"lineage": each.org.name if each.org else "public", **each.checked} for each in found]
    if output.is_json:
        left_out = {each.org.name: str(each.left_out) for each in found if each.org and each.left_out}
        output.value({"is_well": not findings, "checked": checked, "findings": findings, "left_out": left_out})
    else:
        columns = ["lineage", "lines", "versions", "samples", "quarantined", "spans", "partitions"]
        output.table(checked, columns, title="Checked")
        output.table(findings, ["lineage", "check", "where", "says", "advice"], empty="Everything agrees.")
