"""Serve the HTTP endpoint for samples, labels, references."""

from typing import Annotated

import typer

from dcmon import stop_signals
from dcmon.commands.shared.groups import single
from dcmon.errors import Unreachable

app = single()


@app.command()
def serve(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: DCMON_HTTP__HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port to listen on; default: DCMON_HTTP__PORT.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Server processes; default: DCMON_HTTP__WORKERS."),
    ] = None,
) -> None:
    """Serve the endpoint in the foreground until SIGTERM or Ctrl-C. Example: dcmon serve --port 8080"""
    stop_signals.exit_at_signals()
    from dcmon.http import server

    app = ctx.obj.with_http(host, port, workers)
    try:
        app.require_database()  # fail now, not at the first request, if it is not migrated or refuses the password
    except Unreachable as error:
        app.output.remark(f"{error}: the endpoint responds with 503 until PostgreSQL can be reached.")
    server.serve(app)
