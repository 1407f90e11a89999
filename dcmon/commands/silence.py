"""Silences, which hold notifications back for a while."""

from datetime import datetime, timedelta
from functools import partial
from typing import Annotated

import typer

from dcmon.commands.shared import options, questions
from dcmon.commands.shared.arguments import operator_name, require_not_both, require_some
from dcmon.commands.shared.changes import asking, changing
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import listing_of
from dcmon.commands.shared.several import run_for_all, show_all

app = group(__doc__)
Ids = Annotated[list[int], typer.Argument(metavar="SILENCE...", help="Ids of silences.")]


@app.command()
@changing
def create(
    ctx: typer.Context,
    matchers: Annotated[
        list[str],
        typer.Argument(
            metavar="MATCHER...", help="NAME=VALUE; NAME: model, version, monitor, check, rule, severity or alert."
        ),
    ],
    for_: Annotated[
        timedelta | None, options.duration_option("--for", "How long: 30m, 4h, 2d.", "For a time give --until.")
    ] = None,
    since: Annotated[datetime | None, options.time_option("--since", "Start of the silence; default: now.")] = None,
    until: Annotated[datetime | None, options.time_option("--until", "End of the silence, like +4h.")] = None,
    reason: Annotated[str, typer.Option(help="Reason, stored with the silence.")] = "",
    by: Annotated[str | None, typer.Option(help="Author of the silence; default: the user of the system.")] = None,
    yes: options.Yes = False,
) -> None:
    """Create a silence: it holds back notifications about the alerts that match all matchers.

    A matcher compares with =, !=, =~ or !~. Alerts open and resolve as usual. It asks if nothing has a name in a
    matcher; --yes is for one that will exist.

    Example: dcmon silence create model=credit "monitor=~.*Drift" --for 4h
    """
    from datetime import UTC

    from dcmon.commands.operations import silence as operation
    from dcmon.notifications.silences import NewSilence

    if (for_ is None) is (until is None):
        raise typer.BadParameter("Give either --for 4h or --until 2026-12-01, and not both.")
    begins = since or datetime.now(UTC)
    ends = until or begins + (for_ or timedelta())
    row = operation.add(ctx.obj, NewSilence(matchers, begins, ends, reason, by or operator_name()), yes=yes)
    ctx.obj.output.value(row, remark=None if row["alerts"] else "No alert that fires now matches.")


@app.command("list")
@listing_of("silences")
def list_(
    ctx: typer.Context, all_: Annotated[bool, typer.Option("--all", help="Also silences that are over.")] = False
) -> None:
    """List silences that hold now or later. Example: dcmon silence list --all"""
    from dcmon.commands.views import silence as view

    columns = ["id", "state", "from", "until", "matchers", "by", "reason"]
    narrow = [column for column in columns if column != "from"]
    empty = 'No silence: "dcmon silence create MATCHER --for 4h" adds one.'
    ctx.obj.output.table(view.rows(ctx.obj, ended=all_), columns, empty=empty, narrow=narrow)


@app.command()
def show(ctx: typer.Context, silence_ids: Ids) -> None:
    """Show silences, also those that are over. Example: dcmon silence show 1"""
    from dcmon.commands.views import silence as view

    show_all(ctx.obj.output, silence_ids, partial(view.detail, ctx.obj))


@app.command("set")
@changing
def set_(
    ctx: typer.Context,
    silence_ids: Ids,
    match: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, in place of its matchers: monitor=~.*Drift; repeatable.")
    ] = None,
    for_: Annotated[
        timedelta | None,
        options.duration_option("--for", "How long from now, or from its start: 4h.", "For a time give --until."),
    ] = None,
    since: Annotated[datetime | None, options.time_option("--since", "Start of the silence.")] = None,
    until: Annotated[datetime | None, options.time_option("--until", "End of the silence, like +4h.")] = None,
    reason: Annotated[str | None, typer.Option(help="Reason, stored with the silence.")] = None,
    yes: options.Yes = False,
) -> None:
    """Change silences that are not over. Options not given keep their value; what is no longer held back is sent.

    Example: dcmon silence set 1 --for 8h --reason "the backfill takes longer"
    """
    from dcmon.commands.operations import silence as operation

    require_some("silence set", match, for_, since, until, reason)
    require_not_both(for_ is not None, "--for", until is not None, "--until")
    wanted = operation.SilenceChange(match, since, until, for_, reason)
    find, change = partial(operation.find, ctx.obj), partial(operation.change, ctx.obj, wanted=wanted)
    ask = partial(operation.ask, ctx.obj, wanted, yes=yes)
    run_for_all(ctx.obj.output, silence_ids, find, change, ask=ask)


@app.command()
@asking(questions.ended_silence)
def delete(ctx: typer.Context, silence_ids: Ids) -> None:
    """Delete silences: they end now, and what they held back is sent. Example: dcmon silence delete 1 2"""
    from dcmon.commands.operations import silence as operation

    find, end = partial(operation.find, ctx.obj), partial(operation.end, ctx.obj)
    run_for_all(ctx.obj.output, silence_ids, find, end)
