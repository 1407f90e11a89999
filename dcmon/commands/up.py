"""Start dcmon: the endpoint, the workers, and embedded servers if no URL is set."""

from typing import Annotated

import typer

from dcmon.commands.shared.groups import single

app = single()


@app.command()
def up(
    ctx: typer.Context,
    foreground: Annotated[bool, typer.Option("--foreground", help="Run in the foreground until Ctrl-C.")] = False,
) -> None:
    """Start the endpoint and the workers.

    Without URLs in the settings, it also starts an embedded PostgreSQL and Valkey.

    Example: dcmon up
    """
    from dcmon.embedded import supervisor, supervisor_state

    settings, output = ctx.obj.settings, ctx.obj.output
    running = supervisor_state.read(settings)
    if running is not None:
        output.say(f'dcmon runs already (pid {running.pid}) at {running.url}. "dcmon down" stops it.')
        return
    if foreground:
        supervisor.run(settings, ready=lambda url: output.say(f"dcmon is up at {url}. Ctrl-C stops it."))
        return
    state = supervisor.start_in_background(settings, die_with_parent=False)
    output.value(
        {"endpoint": state.url, "data": settings.data_dir, "logs": settings.data_dir / "logs", "pid": state.pid}
    )
    output.say('dcmon is up. "dcmon status" shows it, "dcmon down" stops it.')
