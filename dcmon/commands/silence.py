"""Silences, which hold notifications back for a while: add, list, end."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dcmon.commands.shared.arguments import as_utc, operator_name
from dcmon.commands.shared.groups import group

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.db.tables.org import Silence
    from dcmon.notifications.silences import NewSilence

app = group(__doc__)


@app.command()
def add(
    ctx: typer.Context,
    matchers: Annotated[
        list[str],
        typer.Argument(
            metavar="MATCHER…", help="NAME=VALUE; NAME: model, version, monitor, check, rule, severity or alert."
        ),
    ],
    for_: Annotated[str | None, typer.Option("--for", help="How long: 30m, 4h, 2d.")] = None,
    from_: Annotated[datetime | None, typer.Option("--from", help="Start of the silence, UTC; default: now.")] = None,
    until: Annotated[datetime | None, typer.Option(help="End of the silence, UTC.")] = None,
    reason: Annotated[str, typer.Option(help="Reason, stored with the silence.")] = "",
    by: Annotated[str | None, typer.Option(help="Author of the silence; default: the user of the system.")] = None,
) -> None:
    """Hold back notifications about alerts that match all matchers (=, !=, =~, !~); alerts open and resolve as usual.

    Example: dcmon silence add model=credit "monitor=~.*Drift" --for 4h --reason "new upstream table"
    """
    from datetime import UTC

    from dcmon import durations
    from dcmon.notifications.silences import NewSilence

    if (for_ is None) is (until is None):
        raise typer.BadParameter("Give either --for 4h or --until 2026-12-01, and not both.")
    begins = as_utc(from_) if from_ else datetime.now(UTC)
    ends = as_utc(until) if until else begins + durations.parse(for_ or "", "30m, 4h or 2d")
    row = _add(ctx.obj, NewSilence(matchers, begins, ends, reason, by or operator_name()))
    ctx.obj.output.value(row)
    if not row["alerts"]:
        ctx.obj.output.say("No alert that fires now matches.")


def _add(app: "App", new: "NewSilence") -> dict[str, Any]:
    """Store a silence; return it as a row with the number of firing alerts that it holds back."""
    from datetime import UTC

    from dcmon.notifications import silences

    with app.org() as session:
        silence = silences.add(session, new, datetime.now(UTC))
        return {**_row(silence), "alerts": silences.matching_alerts(session, silence)}


@app.command("list")
def list_(
    ctx: typer.Context, all_: Annotated[bool, typer.Option("--all", help="Also silences that are over.")] = False
) -> None:
    """List silences that hold now or later. Example: dcmon silence list --all"""
    from datetime import UTC

    from dcmon.notifications import silences

    now = datetime.now(UTC)
    with ctx.obj.org() as session:
        rows = [
            {**_row(silence), "state": _state(silence, now)} for silence in silences.entries(session, now, ended=all_)
        ]
    columns = ["id", "state", "until", "matchers", "by", "reason"]
    if not ctx.obj.output.is_narrow:
        columns.insert(2, "from")
    ctx.obj.output.table(rows, columns, empty='No silence: "dcmon silence add MATCHER --for 4h" adds one.')


@app.command()
def end(ctx: typer.Context, silence_id: Annotated[int, typer.Argument(metavar="ID")]) -> None:
    """End a silence now; the notifications that it held back are sent. Example: dcmon silence end 1"""
    from datetime import UTC

    from dcmon.db import work_queue
    from dcmon.notifications import silences

    with ctx.obj.org() as session:
        row = _row(silences.end(session, silence_id, datetime.now(UTC)))
    ctx.obj.enqueue(ctx.obj.organization(), work_queue.Work.notify)
    ctx.obj.output.value({**row, "state": "over"})


def _row(silence: "Silence") -> dict[str, Any]:
    return {
        "id": silence.id,
        "matchers": silence.matchers,
        "from": silence.starts_at,
        "until": silence.ends_at,
        "by": silence.by,
        "reason": silence.reason,
    }


def _state(silence: "Silence", now: datetime) -> str:
    if silence.ends_at <= now:
        return "over"
    return "holds" if silence.starts_at <= now else "to come"
