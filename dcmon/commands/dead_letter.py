"""Dead letters: messages of Kafka that can't be stored."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from dcmon.commands.shared import option_groups, options
from dcmon.commands.shared.arguments import operator_name
from dcmon.commands.shared.changes import counting
from dcmon.commands.shared.confirmation import ask_and_run
from dcmon.commands.shared.groups import group
from dcmon.commands.shared.lists import AllOrgs, global_listing
from dcmon.commands.shared.several import show_all

if TYPE_CHECKING:
    from dcmon.ingestion.dead_letters import DeadLetterFilter

app = group(__doc__)


@app.command("list")
@global_listing
def list_(
    ctx: typer.Context,
    topic: options.DeadLetterTopic = None,
    reason: options.DeadLetterReason = None,
    since: options.DeadLetterSince = None,
    until: options.DeadLetterUntil = None,
    all_: Annotated[bool, typer.Option("--all", help="Also those that were stored or deleted.")] = False,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many, the newest.")] = 100,
    all_orgs: AllOrgs = False,
) -> None:
    """List dead letters of all organizations, the newest first; with --org only those of one.

    Example: dcmon dead-letter list --topic dcmon.samples --since 1d
    """
    from dcmon.commands.views import dead_letter as view
    from dcmon.ingestion.dead_letters import DeadLetterFilter

    chosen = DeadLetterFilter((), topic, reason, since, with_resolved=all_, until=until)
    ctx.obj.output.page(view.listing(ctx.obj, chosen, limit, is_of_all=all_orgs))


@app.command()
def show(
    ctx: typer.Context,
    dead_letter_ids: Annotated[list[int], typer.Argument(metavar="DEAD_LETTER...", help="Ids of dead letters.")],
) -> None:
    """Show dead letters with their messages as they were received. Example: dcmon dead-letter show 17"""
    from dcmon.commands.views import dead_letter as view

    show_all(ctx.obj.output, dead_letter_ids, partial(view.detail, ctx.obj))


@app.command()
@counting
@option_groups.chosen_dead_letters
def retry(
    ctx: typer.Context, chosen: "DeadLetterFilter", dry_run: options.DryRun = False, by: options.By = None
) -> None:
    """Try to store the rows of dead letters again, with the time at which they were received; each row once.

    Exit 8 when some are refused again, 3 when all are.

    Example: dcmon dead-letter retry --reason "there has never been a version" --dry-run
    """
    from dcmon.commands.operations import dead_letter as operation
    from dcmon.commands.views import dead_letter as view

    retried = operation.retry(ctx.obj, chosen, by or operator_name(), dry_run=dry_run)
    ctx.obj.output.page(view.retried(retried))
    if retried.exit_code:
        raise typer.Exit(retried.exit_code)


@app.command()
@counting
@option_groups.chosen_dead_letters
def delete(
    ctx: typer.Context,
    chosen: "DeadLetterFilter",
    yes: options.Yes = False,
    by: options.By = None,
) -> None:
    """Delete the messages of dead letters for ever; that they were there stays recorded.

    Example: dcmon dead-letter delete 17 18 --dry-run
    """
    from dcmon.commands.operations import dead_letter as operation
    from dcmon.commands.views import dead_letter as view

    letters = operation.choose(ctx.obj, chosen)
    delete_all = partial(letters.delete, by or operator_name())
    done = ask_and_run(ctx.obj.output, letters.question, delete_all, phrases=letters.phrases, yes=yes)
    ctx.obj.output.page(view.deleted(letters, done))
