"""Alert rules: create, list."""

from typing import Annotated

import typer

from dcmon.commands import group

app = group(__doc__)


@app.command()
def create(
    ctx: typer.Context,
    monitor: Annotated[str, typer.Argument(help="MODEL/MONITOR, or MONITOR where only one model has it.")],
    condition: Annotated[str, typer.Argument(help="In quotes: '> 0.2'.")],
    severity: Annotated[str, typer.Option(help="low, medium, high or critical.")] = "medium",
) -> None:
    """Add a rule to a monitor. Example: dcmon rule create "credit/Prediction Drift" "> 0.3" --severity critical"""
    from dcmon import monitors, overview, rules

    with ctx.obj.org() as session:
        found = monitors.find(session, monitor)
        rule = rules.create(session, found.id, rules.parse(condition), severity)
        row = {"rule": rule.id, "monitor": found.name, "condition": overview.condition(rule), "severity": severity}
    ctx.obj.output.value(row)


@app.command("list")
def list_(ctx: typer.Context, model: Annotated[str | None, typer.Option(help="Only of this model.")] = None) -> None:
    """List rules. Example: dcmon rule list"""
    from dcmon import models, overview

    with ctx.obj.org() as session:
        views = overview.monitors(session, models.find(session, model).id if model else None)
        rows = [
            {"id": rule.id, "monitor": view.name, "condition": overview.condition(rule), "severity": rule.severity,
             "active": rule.is_active}
            for view in views for rule in view.rules
        ]  # fmt: skip
    ctx.obj.output.table(rows, ["id", "monitor", "condition", "severity", "active"], empty="No rule yet.")
