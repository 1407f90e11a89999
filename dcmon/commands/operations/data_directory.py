"""The files that dcmon writes to its data directory: list, measure and delete them."""

import shutil
from pathlib import Path
from typing import Any

# A purge deletes these entries and no other file.
OWN_ENTRIES = ("postgres", "postgres.initdb", "binaries", "logs", "postgres.json", "valkey.json", "valkey.conf",
               "supervisor.json", "supervisor.lock", "demo.json", "report.html", "dump.rdb",
               "secret.key", "secret.new")  # fmt: skip


def own_entries(data_dir: Path) -> list[Path]:
    """Return the files and directories of dcmon that exist."""
    return [data_dir / name for name in OWN_ENTRIES if (data_dir / name).exists()]


def size(paths: list[Path]) -> dict[str, Any]:
    """Return the names of files and directories, and how many bytes they have."""
    return {"deleted": [path.name for path in paths], "bytes": sum(_bytes(path) for path in paths)}


def delete(paths: list[Path]) -> None:
    """Delete files and directories."""
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file())
