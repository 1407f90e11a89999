"""Serve the endpoint that samples, labels and references come in by."""

from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command()
def serve(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on; DCMON_HTTP__HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port; DCMON_HTTP__PORT.")] = None,
) -> None:
    """Serve the endpoint in the foreground until SIGTERM or Ctrl-C. Example: dcmon serve --port 8080"""
    from dcmon.http import server

    app = ctx.obj.with_http(host, port)
    with app.public():  # fail now, with a sentence, when the database is not there or not migrated
        pass
    server.serve(app)
