"""Run the whole system on a year of real flights."""

from pathlib import Path
from typing import Annotated

import typer

from dcmon.commands.shared.groups import single

app = single()


@app.command()
def demo(
    ctx: typer.Context,
    exit_: Annotated[bool, typer.Option("--exit", help="Stop the system at the end.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete the last demo and start again.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="File to write the HTML report to; each demo replaces it.")
    ] = None,
) -> None:
    """Run the whole system on the flights that left New York in 2013.

    The demo trains a classifier, replays its predictions, monitors them and shows alerts. The data stays: a second demo
    continues where the first one stopped, or shows its results. On a terminal the system runs until Ctrl-C.

    Example: dcmon demo --exit
    """
    from dcmon.demo import progress, run

    stay = not exit_ and progress.DemoConsole().is_terminal
    run.run(ctx.obj, fresh=fresh, stay=stay, report=report.absolute() if report else None)
