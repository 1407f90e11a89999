"""Settings in effect, and where they come from."""

from typing import Annotated

import typer

from dcmon.commands.shared.groups import group

app = group(__doc__)


@app.command()
def show(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="SETTING", help="Only these, like DCMON_HTTP__PORT or http.port.")
    ] = None,
    origin: Annotated[bool, typer.Option("--origin", help="Also show where each value comes from.")] = False,
    changed: Annotated[bool, typer.Option("--changed", help="Only those that do not have their default.")] = False,
) -> None:
    """Show the settings in effect; secrets are masked.

    If the settings can't be used, those that are named are shown with their origin, and the exit code is 2.

    Example: dcmon config show --origin
    """
    from dcmon.commands.views import config as view

    shown = view.show(ctx.obj, names, only_changed=changed)
    ctx.obj.output.page(shown.result(with_origin=origin))
    if shown.refusal is not None:
        raise shown.refusal
