"""Run workers: ingest, evaluate, notify, scheduler."""

from enum import StrEnum
from typing import Annotated

import typer

from dcmon.commands.shared.groups import group
from dcmon.states import ProcessKind

app = group(__doc__)


class Worker(StrEnum):
    """The kinds of workers."""

    ingest = ProcessKind.INGEST
    evaluate = ProcessKind.EVALUATE
    notify = ProcessKind.NOTIFY
    scheduler = ProcessKind.SCHEDULER
    all = "all"


@app.callback()
def workers() -> None:
    """Run workers: ingest, evaluate, notify, scheduler."""


@app.command()
def start(
    ctx: typer.Context,
    which: Annotated[Worker, typer.Argument(help="The worker to run; all runs every worker.")] = Worker.all,
) -> None:
    """Run a worker in the foreground until SIGTERM or Ctrl-C. Example: dcmon worker start evaluate"""
    from dcmon import errors, jobs

    kafka = ctx.obj.settings.kafka
    servers = kafka.bootstrap_servers
    if which is Worker.ingest and not servers:
        raise errors.InvalidInput(
            "DCMON_KAFKA__BOOTSTRAP_SERVERS is not set: samples are stored directly, so no ingest worker is needed."
        )
    names = [name for name in jobs.JOBS if which in (Worker.all, name) and (name != ProcessKind.INGEST or servers)]
    ctx.obj.require_database()  # fail now, with a clear message, if it is unreachable or not migrated
    topics = _topics(kafka.topic_prefix) if ProcessKind.INGEST in names else ""
    ctx.obj.output.remark(f"worker {', '.join(names)}: started{topics}")
    if not jobs.run_jobs(ctx.obj, names):
        raise typer.Exit(3)


def _topics(prefix: str) -> str:
    return f", consuming {prefix}.samples, {prefix}.labels"
