"""Ingestion: how far it is behind, and setting it to another offset."""

from typing import TYPE_CHECKING, Annotated

import typer

from dcmon.commands import confirm, group, operator

if TYPE_CHECKING:
    from dcmon.settings import Kafka

app = group(__doc__)


@app.command()
def lag(
    ctx: typer.Context,
    look_at: Annotated[int, typer.Option(help="Unread messages of a partition to look at.", min=1)] = 1_000,
    longest: Annotated[str | None, typer.Option(help="Exit 1 when a message has waited longer: 90s, 30m.")] = None,
) -> None:
    """How far ingestion is behind, by partition and organization. Example: dcmon ingest lag --longest 5m

    The unread messages of an organization are counted among those looked at.
    """
    from dcmon import durations
    from dcmon import lag as lags

    bound = durations.parse(longest) if longest else None
    partitions, organizations = lags.measure(ctx.obj.engine, require_broker(ctx), look_at)
    ctx.obj.output.tables(
        {
            "partitions": [{**vars(each), "lag": each.lag} for each in partitions],
            "organizations": [vars(each) for each in organizations],
        },
        {
            "partitions": ["topic", "partition", "read", "end", "lag", "oldest_unread"],
            "organizations": ["organization", "unread", "oldest_unread", "parked", "rows_per_second", "last_rows"],
        },
    )
    if bound is not None and lags.is_behind(partitions, bound):
        raise typer.Exit(1)


@app.command()
def seek(
    ctx: typer.Context,
    to: Annotated[str, typer.Option(help='"beginning", "end", or a time: 2026-11-24T10:00, UTC unless it says.')],
    topic: Annotated[list[str] | None, typer.Option(help="samples or labels; both when not given.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be read again or left out.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Go on from another offset; what is stored already is recognised. Example: dcmon ingest seek --to end --dry-run

    A topic that was made again is taken for the one to read from then on.
    """
    from dcmon import kafka, seeking

    if bad := set(topic or ()) - set(kafka.KINDS):
        raise typer.BadParameter(f"{bad.pop()!r} is none of {', '.join(kafka.KINDS)}.", param_hint="--topic")
    moves = seeking.plan(ctx.obj.engine, require_broker(ctx), topic or kafka.KINDS, seeking.parse(to))
    columns = ["topic", "partition", "begin", "end", "stands", "goes_to", "read_again", "left_out"]
    ctx.obj.output.table([each.described for each in moves], columns)
    if dry_run:
        return
    confirm(f"Read {sum(m.again for m in moves)} messages again, never read {sum(m.left_out for m in moves)}?", yes)
    seeking.carry_out(ctx.obj.engine, moves, operator())
    ctx.obj.output.say('Done. Workers that run notice by themselves; "dcmon worker start ingest" starts one.')


def require_broker(ctx: typer.Context) -> "Kafka":
    """The settings of the broker. Raises InvalidInput when there is none."""
    from dcmon import errors

    settings: Kafka = ctx.obj.settings.kafka
    if not settings.bootstrap_servers:
        raise errors.InvalidInput(
            "DCMON_KAFKA__BOOTSTRAP_SERVERS is not set: the endpoint stores samples itself, and nothing waits."
        )
    return settings
