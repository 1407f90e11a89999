"""Show the processes, queues and problems of dcmon itself."""

import typer

from dcmon.commands.shared.groups import single
from dcmon.commands.shared.lists import watched

app = single()


@app.command()
@watched
def status(ctx: typer.Context) -> None:
    """Show the processes, queues and problems of dcmon itself, on all machines.

    Exit 0: no problem; 1: a problem; 3: the database answers and can't be read: a table is locked, or its schema has
    another revision; 4: it refuses the password; 7: dcmon does not run, or it can't be reached; 8: a part is down.
    With --quiet only problems are printed, for cron. --org limits it to dcmon itself and one organization;
    DCMON_ORG does not, as in doctor, migrate and wait, which are about the whole installation, too.

    Example: dcmon status --watch 5s
    """
    from dcmon.commands.operations import status as operation
    from dcmon.commands.views import status as view

    current = operation.collect(ctx.obj)
    ctx.obj.output.page(view.report(current, quiet=ctx.obj.output.quiet))
    if current.failure is not None and not view.is_failure_shown(current):
        raise current.failure
    if current.exit_code:
        raise typer.Exit(current.exit_code)
