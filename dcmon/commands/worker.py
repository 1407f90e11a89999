"""Background workers: ingest, evaluate, notify, scheduler."""

from enum import StrEnum
from typing import Annotated

import typer

from dcmon import stop_signals
from dcmon.commands.shared.choices import choice_argument
from dcmon.commands.shared.groups import group
from dcmon.states import ProcessKind

app = group(__doc__)


class WorkerChoice(StrEnum):
    """What can be started: each kind of process that is a worker, or all of them."""

    INGEST = ProcessKind.INGEST
    EVALUATE = ProcessKind.EVALUATE
    NOTIFY = ProcessKind.NOTIFY
    SCHEDULER = ProcessKind.SCHEDULER
    ALL = "all"


@app.callback()
def workers() -> None:
    """Background workers: ingest, evaluate, notify, scheduler."""


@app.command()
def start(
    ctx: typer.Context,
    which: Annotated[
        WorkerChoice,
        choice_argument("worker", WorkerChoice, "ingest, evaluate, notify, scheduler or all.", "WORKER"),
    ] = WorkerChoice.ALL,
) -> None:
    """Run a worker in the foreground until SIGTERM or Ctrl-C. Example: dcmon worker start evaluate"""
    stop_signals.exit_at_signals()
    from dcmon import errors, jobs

    kafka, servers = ctx.obj.settings.kafka, ctx.obj.settings.kafka.bootstrap_servers
    if which is WorkerChoice.INGEST and not servers:
        raise errors.InvalidInput(
            "DCMON_KAFKA__BOOTSTRAP_SERVERS is not set: samples are stored directly, so no ingest worker is needed."
        )
    can_run = [name for name in jobs.JOBS if name != ProcessKind.INGEST or servers]
    names = [name for name in can_run if which in (WorkerChoice.ALL, name)]
    ctx.obj.step_down()
    ctx.obj.require_database()  # fail now, with a clear message, if it is unreachable or not migrated
    ctx.obj.output.remark(f"worker {', '.join(names)}: started{_topics(kafka.topic_prefix, names)}")
    if not jobs.run_jobs(ctx.obj, names):
        raise typer.Exit(3)


def _topics(prefix: str, names: list[str]) -> str:
    return "" if ProcessKind.INGEST not in names else f", consuming {prefix}.samples, {prefix}.labels"
