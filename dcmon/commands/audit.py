"""Check that no row was lost or duplicated."""

import typer

from dcmon.commands.shared.groups import single

app = single()


@app.command()
def audit(ctx: typer.Context) -> None:
    """Check ledgers, tables and offsets of every organization, or of --org, while everything runs.

    Exit 1 when counts differ, 8 when an organization could not be checked. The audit counts the rows of
    every table: run it when the load is low if the database is large.

    Example: dcmon audit -o json
    """
    from dcmon.commands.views import audit as view
    from dcmon.ingestion import audit_reader

    results = audit_reader.run_audit(ctx.obj.engine, ctx.obj.organizations())
    ctx.obj.output.page(view.report(results))
    if any(result.findings for result in results):
        raise typer.Exit(1)
    if any(result.left_out for result in results):
        raise typer.Exit(8)
