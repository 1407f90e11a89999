"""Wait until dcmon has done its work."""

from datetime import timedelta
from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.groups import single

app = single()

FOR = "Condition: lag=0, due=0, notifications<=5, health=0 …; lag alone is lag=0; repeatable: all must hold."


@app.command()
def wait(
    ctx: typer.Context,
    conditions: Annotated[list[str], typer.Option("--for", metavar="CONDITION", help=FOR)],
    timeout: Annotated[timedelta, options.duration_option("--timeout", "Longest wait: 60s, 10m.")] = timedelta(
        minutes=1
    ),
    every: Annotated[timedelta, options.duration_option("--every", "Time between two looks: 1s, 500ms.")] = timedelta(
        seconds=1
    ),
) -> None:
    """Wait until conditions hold; exit 124 when the time is over.

    lag: messages that are not stored yet. due: windows that could be evaluated. notifications: those to send.
    health: problems of dcmon. migrated: schemas that are not that of this dcmon. Operators: = != < <= > >=. A name
    alone, like lag or migrated, means that 0 are left. The result has the conditions; -o name prints these alone.

    Example: dcmon wait --for lag=0 --for due=0 --timeout 60s
    """
    from dcmon.commands.operations import wait as operation

    parsed = [operation.parse_condition(text) for text in conditions]
    ctx.obj.output.page(operation.wait(ctx.obj, parsed, timeout, every))
