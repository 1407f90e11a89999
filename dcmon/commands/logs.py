"""Show the logs of "dcmon up", and follow them."""

from datetime import datetime
from typing import Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.choices import choice_argument, choice_option
from dcmon.commands.shared.groups import single
from dcmon.states import LogLevel, ProcessKind

app = single()

PARTS = ("supervisor", "postgres", "valkey", *ProcessKind)  # as in dcmon.embedded.log_files

Parts = Annotated[
    list[str] | None,
    choice_argument(
        "part of dcmon",
        PARTS,
        "supervisor, postgres, valkey, serve, ingest, evaluate, notify or scheduler; default: all.",
        metavar="PART",
    ),
]
Follow = Annotated[bool, typer.Option("-f", "--follow", help="Then show what is written from now on, until Ctrl-C.")]
Since = Annotated[datetime | None, options.time_option("--since", "Only lines of this time or later.")]
Until = Annotated[datetime | None, options.time_option("--until", "Only lines of this time or earlier.")]
Level = Annotated[
    LogLevel,
    choice_option("--level", what="level", known=LogLevel, help="Only lines of this level, or more important ones."),
]
Grep = Annotated[
    str | None, typer.Option("--grep", metavar="REGEX", help="Only lines that match; upper and lower case are alike.")
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="At most so many, the newest. Default: 200, or all with --since.")
]


@app.command()
def logs(
    ctx: typer.Context,
    parts: Parts = None,
    follow: Follow = False,
    since: Since = None,
    until: Until = None,
    level: Level = LogLevel.DEBUG,
    grep: Grep = None,
    limit: Limit = None,
) -> None:
    """Show the logs of the data directory of all processes in the order of time; -f follows them.

    With --org only lines that name the organization. With -o jsonl each line is an object with all its fields.

    Processes that "dcmon up" did not start log to stderr: systemd, Docker or Kubernetes have their logs.

    Example: dcmon logs evaluate notify --since 1h --level warning
    """
    from dcmon.commands.operations.logs import LogFilter, parse_pattern
    from dcmon.commands.views import logs as view

    chosen = LogFilter(since, until, level, parse_pattern(grep), ctx.obj.typed_org, limit)
    batches = view.batches(ctx.obj, parts or [], chosen, is_followed=follow)
    ctx.obj.output.stream(batches, view.lines, endless=follow)
