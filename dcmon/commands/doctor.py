"""Find what is wrong with dcmon, and what mends it."""

from datetime import timedelta
from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.choices import choice_option
from dcmon.commands.shared.groups import single
from dcmon.commands.shared.lists import watched

app = single()


def _codes() -> list[str]:
    from dcmon.doctor import inspection

    return inspection.codes()


@app.command()
@watched
def doctor(
    ctx: typer.Context,
    codes: Annotated[
        list[str] | None,
        choice_option(
            "--code",
            what="code",
            known=_codes,
            metavar="CODE",
            more='"dcmon doctor --list" lists the codes.',
            help="Only findings with this code; repeatable.",
        ),
    ] = None,
    timeout: Annotated[timedelta, options.duration_option("--timeout", "Longest time of each part.")] = timedelta(
        seconds=15
    ),
    catalogue: Annotated[bool, typer.Option("--list", help="Show the codes of all faults instead.")] = False,
) -> None:
    """Find what is wrong with this installation, and say what mends it; with --org, of one organization.

    Each finding has a code, which "dcmon docs doctor" explains. Exit 0: no finding; 1: findings.

    Example: dcmon doctor --code disk-full
    """
    from dcmon.commands.operations import doctor as operation
    from dcmon.commands.views import doctor as view

    diagnosis = operation.examine(ctx.obj, codes or [], timeout, is_skipped=catalogue)
    ctx.obj.output.page(view.report(*diagnosis, is_catalogue=catalogue, quiet=ctx.obj.output.quiet))
    if diagnosis.findings:
        raise typer.Exit(1)
