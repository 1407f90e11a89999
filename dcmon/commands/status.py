"""Show what runs, and whether everything answers."""

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from dcmon.app import App

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def status(ctx: typer.Context) -> None:
    """Show what runs and what answers; exit 7 when nothing runs, 8 when a part is down. Example: dcmon status"""
    from dcmon import errors
    from dcmon.embedded import supervisor

    found = supervisor.state(ctx.obj.settings)
    if found is None:
        raise errors.NothingRuns
    watched = [{**child, "detail": _last(child)} for child in found.children]
    supervising = {"name": "supervisor", "state": "running", "pid": found.pid, "since": found.started_at}
    rows = [supervising, *watched, *_dependencies(ctx.obj, found.url)]
    ctx.obj.output.table([_short(row) for row in rows], ["name", "state", "pid", "since", "restarts", "detail"])
    if any(row["state"] not in ("running", "answers") for row in rows):
        raise typer.Exit(8)


def _dependencies(given: "App", url: str) -> list[dict[str, Any]]:
    """The endpoint, and what dcmon was told to use, by whether it answers."""
    from dcmon import cache, errors, kafka
    from dcmon.embedded import supervisor

    settings = given.settings
    rows = [_answer("endpoint", supervisor.answers(settings), url)]
    try:
        with given.public():
            rows.append(_answer("database", True, given.engine.url.render_as_string(hide_password=True)))
    except errors.DcmonError as error:
        rows.append(_answer("database", False, str(error)))
    if settings.kafka.bootstrap_servers:
        rows.append(_answer("kafka", kafka.answers(settings.kafka), settings.kafka.bootstrap_servers))
    if settings.redis_url is not None:
        rows.append(
            _answer("redis", cache.answers(settings.redis_url.get_secret_value()), "a helper: nothing needs it")
        )
    return rows


def _answer(name: str, does: bool, detail: str) -> dict[str, Any]:
    return {"name": name, "state": "answers" if does else "does not answer", "detail": detail}


def _last(child: "Any") -> str | None:
    return f"last ended with {child['last_exit']}" if child["last_exit"] else None


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "since": str(row["since"])[:19].replace("T", " ")} if row.get("since") else row
