"""Start and stop the supervisor of the data directory, and delete its data."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dcmon.commands.operations import data_directory
from dcmon.embedded import supervisor, supervisor_state

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.settings import Settings


class Shutdown(NamedTuple):
    """A planned stop of the supervisor; then `entries`, files and directories, are deleted."""

    settings: "Settings"
    entries: list[Path]
    with_data: bool

    @property
    def question(self) -> str | None:
        """The question to confirm; None if there is nothing to delete."""
        return f"Delete everything that dcmon stored in {self.settings.data_dir}?" if self.entries else None

    @property
    def phrases(self) -> list[str]:
        """What would be done, for people."""
        running = supervisor_state.read(self.settings)
        stopped = [] if running is None else [f"stop dcmon (pid {running.pid})"]
        return [*stopped, *([f"delete all data in {self.settings.data_dir}"] if self.entries else [])]

    def preview(self) -> dict[str, Any]:
        """Return what would be stopped and deleted, as a row."""
        running = supervisor_state.read(self.settings)
        return {"stopped": running and running.pid, **data_directory.size(self.entries)}


def start(app: "App", *, in_foreground: bool) -> dict[str, Any] | None:
    """Start the supervisor, and return its row if it runs in the background.

    Remarks that it runs already, or is ready in the foreground. Raises Locked or PortTaken.
    """
    settings, remark = app.settings, app.output.remark
    running = supervisor_state.read(settings)
    if running is not None:
        remark(f'dcmon runs already (pid {running.pid}) at {running.url}. "dcmon down" stops it.')
        return None
    if in_foreground:
        supervisor.run(settings, ready=lambda url: remark(f"dcmon is up at {url}. Ctrl-C stops it."))
        return None
    state = supervisor.start_in_background(settings, die_with_parent=False)
    return {"endpoint": state.url, "data": settings.data_dir, "logs": settings.data_dir / "logs", "pid": state.pid}


def prepare_stop(app: "App", *, with_data: bool) -> Shutdown:
    """Find what a stop deletes: nothing, or the data directory's contents if `with_data`."""
    entries = data_directory.own_entries(app.settings.data_dir) if with_data else []
    return Shutdown(app.settings, entries, with_data)


def stop(app: "App", shutdown: Shutdown) -> None:
    """Stop the supervisor, then delete its data, with a remark after each step. Raises Locked."""
    app.output.remark("dcmon is stopped." if supervisor.stop(app.settings) else "dcmon was not running.")
    data_directory.delete(shutdown.entries)
    if shutdown.with_data:
        app.output.remark(f"Deleted {len(shutdown.entries)} entries of {shutdown.settings.data_dir}.")
