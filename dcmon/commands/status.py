"""Show what runs, and whether everything answers."""

import typer

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def status(ctx: typer.Context) -> None:
    """Show what runs; exit 7 when nothing does, 8 when a part is down. Example: dcmon status"""
    from dcmon import errors
    from dcmon.embedded import supervisor

    settings, output = ctx.obj.settings, ctx.obj.output
    found = supervisor.state(settings)
    if found is None:
        raise errors.NothingRuns
    does_answer = supervisor.answers(settings)
    rows = [
        {**child, "detail": child["last_exit"] and f"last ended with {child['last_exit']}"} for child in found.children
    ]
    endpoint = {"name": "endpoint", "state": "answers" if does_answer else "does not answer", "detail": found.url}
    supervising = {"name": "supervisor", "state": "running", "pid": found.pid, "since": found.started_at}
    rows = [supervising, *rows, endpoint]
    output.table([_short(row) for row in rows], ["name", "state", "pid", "since", "restarts", "detail"])
    if not does_answer or any(row["state"] == "restarting" for row in rows):
        raise typer.Exit(8)


def _short(row: dict[str, object]) -> dict[str, object]:
    return {**row, "since": str(row["since"])[:19].replace("T", " ")} if row.get("since") else row
