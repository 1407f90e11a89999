"""Show the pages of the documentation that came with dcmon."""

from typing import Annotated

import typer

from dcmon.commands.shared.groups import single

app = single()


@app.command()
def docs(
    ctx: typer.Context,
    page: Annotated[
        str | None,
        typer.Argument(metavar="PAGE", help="Page, or PAGE#SECTION; without it, the pages are listed."),
    ] = None,
) -> None:
    """Show a page of the documentation that came with dcmon, or one section of it; in a pipe as Markdown.

    Example: dcmon docs

    Example: dcmon docs alerts#conditions
    """
    from dcmon.commands.operations import docs as operation

    ctx.obj.output.page(operation.show(page))
