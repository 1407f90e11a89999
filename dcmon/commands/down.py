"""Stop what "dcmon up" started."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.confirmation import confirm, outcome
from dcmon.commands.shared.groups import single

app = single()

# The entries of the data directory that dcmon writes: a purge deletes these and no other file.
OWN_ENTRIES = ("postgres", "binaries", "logs", "postgres.json", "valkey.json", "valkey.conf", "supervisor.json",
               "supervisor.lock", "demo.json", "report.html", "dump.rdb")  # fmt: skip


@app.command()
def down(
    ctx: typer.Context,
    purge: Annotated[
        bool, typer.Option("--purge", help="Also delete all data that dcmon stored in the data directory.")
    ] = False,
    yes: options.LongYes = False,
    dry_run: options.DryRun = False,
) -> None:
    """Stop the processes that "dcmon up" started; stored data stays. Example: dcmon down"""
    from dcmon.embedded import supervisor, supervisor_state

    settings, output = ctx.obj.settings, ctx.obj.output
    entries = _own_entries(settings.data_dir) if purge else []
    if dry_run:
        running = supervisor_state.read(settings)
        output.value(outcome({"stopped": running.pid if running else None, **_size(entries)}, dry_run=True))
        return
    if entries:
        confirm(f"Delete everything that dcmon stored in {settings.data_dir}?", yes)
    output.say("dcmon is stopped." if supervisor.stop(settings) else "dcmon was not running.")
    for path in entries:
        _delete(path)
    if purge:
        output.say(f"Deleted {len(entries)} entries of {settings.data_dir}.")


def _own_entries(data_dir: Path) -> list[Path]:
    return [data_dir / name for name in OWN_ENTRIES if (data_dir / name).exists()]


def _size(paths: list[Path]) -> dict[str, Any]:
    return {"deleted": [path.name for path in paths], "bytes": sum(_bytes(path) for path in paths)}


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file())


def _delete(path: Path) -> None:
    import shutil

    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
