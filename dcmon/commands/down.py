"""Stop what "dcmon up" started."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dcmon.commands.shared.confirmation import confirm, outcome
from dcmon.commands.shared.groups import single

app = single()

OURS = ("postgres", "binaries", "logs", "postgres.json", "valkey.json", "valkey.conf", "supervisor.json",
        "supervisor.lock", "demo.json", "report.html", "dump.rdb")  # fmt: skip


@app.command()
def down(
    ctx: typer.Context,
    purge: Annotated[bool, typer.Option("--purge", help="Delete the data directory's contents too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Stop what "dcmon up" started; what it stored stays. Example: dcmon down"""
    from dcmon.embedded import supervisor, supervisor_state

    settings, output = ctx.obj.settings, ctx.obj.output
    running = supervisor_state.read(settings)
    found = [settings.data_dir / name for name in OURS if (settings.data_dir / name).exists()] if purge else []
    if dry_run:
        output.value(outcome({"stopped": running.pid if running else None, **_size(found)}, dry_run=True))
        return
    if purge and found:
        confirm(f"Delete everything that dcmon stored in {settings.data_dir}?", yes)
    output.say("dcmon is stopped." if supervisor.stop(settings) else "dcmon was not running.")
    for path in found:
        _delete(path)
    if purge:
        output.say(f"Deleted {len(found)} entries of {settings.data_dir}." if found else "There was nothing to delete.")


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
