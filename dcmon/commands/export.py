"""Print models or an organization as monitoring as code."""

from typing import Annotated

import typer

from dcmon.commands.shared.groups import single

app = single()


@app.command()
def export(
    ctx: typer.Context,
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL", help="Only these models; default: the organization.")
    ] = None,
) -> None:
    """Print checks, monitors, rules, receivers, mute times, silences and retention as YAML for dcmon apply.

    Secrets are written as references to variables of the environment, like ${RECEIVER_TEAM_URL}.

    Example: dcmon export

    Example: dcmon export credit
    """
    from dcmon.commands.operations import declarations as operation

    ctx.obj.output.page(operation.export(ctx.obj, models or []))
