"""Walk a directory of this machine and its folders."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from dcmon import file_errors
from dcmon.ingestion.files import path_columns


class Folder(NamedTuple):
    """A folder. `files` are the names of its visible files, `hidden` those of its hidden files and folders."""

    path: Path
    files: list[str]
    hidden: list[str]


def refuse(error: file_errors.FileRefused) -> None:
    """Raise the error of a folder that can't be read."""
    raise error


def walk(
    root: Path, on_error: Callable[[file_errors.FileRefused], None] = refuse, *, follows_links: bool = False
) -> Iterator[Folder]:
    """Yield the visible folders below a directory, in sorted order. Hidden folders are not entered.

    With `follows_links`, links to folders are entered after all others, and each real folder only once, so that links
    may form a loop. A folder that was deleted meanwhile is skipped. Raises FileRefused, by `on_error`.
    """

    def report(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            on_error(file_errors.FileRefused(path=error.filename, reason=error.strerror))

    starts, entered = [str(root)], set[str]()
    while starts:
        links: list[str] = []
        for folder, folders, files in os.walk(starts.pop(0), onerror=report):
            if follows_links:
                real = os.path.realpath(folder)
                if real in entered:
                    folders.clear()
                    continue
                entered.add(real)
            hidden = [name for name in (*folders, *files) if path_columns.is_hidden(name)]
            folders[:] = sorted(name for name in folders if not path_columns.is_hidden(name))
            if follows_links:
                paths = (os.path.join(folder, name) for name in folders)
                links += [path for path in paths if os.path.islink(path)]
            visible = sorted(name for name in files if not path_columns.is_hidden(name))
            yield Folder(Path(folder), visible, hidden)
        starts += links
