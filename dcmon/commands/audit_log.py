"""The log of changes: who changed what, and when."""

from datetime import datetime
from functools import partial
from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.choices import choice_option
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import listing
from dcmon.commands.shared.several import show_all

app = group(__doc__)


def _kinds() -> list[str]:
    from dcmon.tenancy import audit_log

    return sorted(audit_log.kinds())


@app.command("list")
@listing
def list_(
    ctx: typer.Context,
    since: Annotated[datetime | None, options.time_option("--since", "Only changes since this time.")] = None,
    until: Annotated[datetime | None, options.time_option("--until", "Only changes before this time.")] = None,
    author: Annotated[str | None, typer.Option("--who", help="Only changes by this user, by e-mail or name.")] = None,
    kind: Annotated[
        str | None,
        choice_option(
            what="kind of object",
            known=_kinds,
            help="Only this kind of object: monitor, rule, token, …",
            metavar="KIND",
        ),
    ] = None,
    object_: Annotated[str | None, typer.Option("--object", help="Only the object of this id or name.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, the newest.")] = 100,
) -> None:
    """List who changed what, and from where, the newest first.

    A table names the changed fields; -o json has their values before and after.

    Example: dcmon audit-log list --kind monitor --since 2026-11-01
    """
    from dcmon.commands.views import audit_log as view
    from dcmon.tenancy.audit_log import EntryFilter

    ctx.obj.output.page(view.listing(ctx.obj, EntryFilter(since, until, author, kind, object_), limit))


@app.command()
def show(
    ctx: typer.Context,
    entry_ids: Annotated[list[str], typer.Argument(metavar="CHANGE...", help="Ids of changes.")],
) -> None:
    """Show changes with all values before and after them. Example: dcmon audit-log show 1"""
    from dcmon.commands.views import audit_log as view

    show_all(ctx.obj.output, entry_ids, partial(view.detail, ctx.obj))
