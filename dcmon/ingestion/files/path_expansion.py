"""Find the files that an operator names: files, directories and patterns like `in/2026-*.csv`."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from dcmon import errors, file_errors
from dcmon.errors import DcmonError
from dcmon.ingestion.files import folder_walk, path_columns, path_pattern, reader, spark_output, spool
from dcmon.ingestion.files.path_columns import PathColumns
from dcmon.ingestion.files.spark_output import Markers, OutputState


class NamedFile(NamedTuple):
    """A file to load, with the columns in its path."""

    path: str
    columns: PathColumns


@dataclass
class Expansion:
    """The files of several paths, each once. `errors`: of paths, folders and files that can't be loaded."""

    format: str | None
    files: list[NamedFile] = field(default_factory=list)
    errors: "list[DcmonError]" = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    real_paths: set[str] = field(default_factory=set)

    def add(self, path: str, columns: PathColumns) -> None:
        """Add a file, unless it is there already under this or another name."""
        real = path if path == spool.STDIN else os.path.realpath(path)
        if real not in self.real_paths:
            self.real_paths.add(real)
            self.files.append(NamedFile(path, columns))

    def is_loadable(self, name: str) -> bool:
        """Return True if a file of a directory is loaded: by its name, or because --format names its format."""
        shown = reader.format_of(name)
        return shown is not None if self.format is None else shown in (None, self.format)


def expand(paths: Sequence[str], format: str | None = None) -> Expansion:
    """Find the files that paths name. A path that exists is never a pattern; "-" is the standard input."""
    expansion = Expansion(format)
    for path in paths:
        try:
            _expand(expansion, path)
        except errors.DcmonError as error:
            expansion.errors.append(error)
    return expansion


def _expand(expansion: Expansion, path: str) -> None:
    if path.startswith("s3://"):
        raise errors.InvalidInput(
            f'dcmon reads S3 as a source: "dcmon source create NAME {path} --model MODEL" and "dcmon source scan NAME"'
            " load its files."
        )
    if os.path.isdir(path):
        _add_directory(expansion, path)
    elif path == spool.STDIN or os.path.lexists(path) or not path_pattern.is_pattern(path):
        expansion.add(path, path_columns.parse(path))
    else:
        _add_pattern(expansion, path)


def _add_directory(expansion: Expansion, root: str, base: str | None = None) -> None:
    """Add the files of a directory. The columns of paths begin below `base`. Raises InvalidInput if it has no file."""
    base = root if base is None else base
    tree = _Tree(root, expansion)
    for path in tree.loadable:
        _add_file(expansion, root, path, base)
    expansion.errors += tree.errors
    if tree.loadable:
        expansion.remarks += tree.remarks()
    elif not tree.errors:
        raise errors.InvalidInput(tree.without_files())


def _add_file(expansion: Expansion, root: str, path: str, base: str) -> None:
    """Add the file at a path below `root`, or report why it can't be loaded."""
    full = os.path.join(root, path)
    try:
        full.encode()
        expansion.add(full, path_columns.parse(base, os.path.relpath(full, base)))
    except UnicodeEncodeError:
        printable = full.encode(errors="backslashreplace").decode()
        expansion.errors.append(errors.InvalidInput(f"The name of {printable} is not UTF-8. Rename the file."))
    except errors.InvalidInput as error:
        expansion.errors.append(errors.InvalidInput(f"{full}: {error}"))


class _Tree:
    """The files of a directory and its folders: those to load, and what else there is."""

    def __init__(self, root: str, expansion: Expansion) -> None:
        self.root, self.expansion = root, expansion
        self.loadable: list[str] = []
        self.errors: list[errors.DcmonError] = []
        self.others, self.hidden, self.markers = Counter[str](), 0, Markers()
        for folder in folder_walk.walk(Path(root), self.errors.append, follows_links=True):
            self._add(folder)
        self._leave_incomplete()

    def _add(self, folder: folder_walk.Folder) -> None:
        below = os.path.relpath(folder.path, self.root)
        prefix = "" if below == os.curdir else f"{below}/"
        self.hidden += len(folder.hidden)
        self.markers.add(prefix + name for name in folder.hidden)
        for name in folder.files:
            kind = self._kind_left_out(folder.path / name)
            if kind is None:
                self.loadable.append(prefix + name)
            else:
                self.others[kind] += 1

    def _kind_left_out(self, file: Path) -> str | None:
        """Return the kind of a file that is not loaded, as messages say it. None if the file is loaded."""
        if not self.expansion.is_loadable(file.name):
            return file.suffix or "without an ending"
        if file.exists() and not file.is_file():
            return "not a file"
        is_empty = file.exists() and spark_output.is_empty_part(file.name, file.stat().st_size)
        return "empty" if is_empty else None

    def _leave_incomplete(self) -> None:
        """Take the files of Spark that are being written from the files to load."""
        states = {path: self.markers.state(path) for path in self.loadable}
        self.loadable = sorted(path for path in self.loadable if states[path] != OutputState.BEING_WRITTEN)
        self.unmarked = self._directories(states, OutputState.UNMARKED)
        for directory in self._directories(states, OutputState.BEING_WRITTEN):
            self.errors.append(file_errors.DirectoryBeingWritten(path=directory))

    def _directories(self, states: dict[str, OutputState], state: OutputState) -> list[str]:
        folders = {spark_output.output_directory(path) for path, known in states.items() if known == state}
        return sorted(os.path.normpath(os.path.join(self.root, folder)) for folder in folders)

    def remarks(self) -> Iterator[str]:
        """Yield what an operator should know of the files that are loaded."""
        if self.others:
            yield f"{self.root}: other files are not loaded ({self._list_others()})."
        for directory in self.unmarked:
            yield f"{directory} has no _SUCCESS. If Spark still writes it, repeat the command afterwards."
        for folder in self.markers.folders("_delta_log"):
            directory = os.path.normpath(os.path.join(self.root, folder))
            yield f"{directory} is a Delta table: rows that were deleted from it are loaded too, if their files remain."

    def without_files(self) -> str:
        """Return the sentence for a directory without a file to load."""
        others = self._list_others()
        if not others:
            return f"The directory {self.root} is empty."
        known = f"{', '.join(reader.FORMATS[:-1])} and {reader.FORMATS[-1]}"
        hint = f"dcmon reads {known}; with --format also files whose names do not show the format."
        return f"The directory {self.root} has no file to load, only others ({others}). {hint}"

    def _list_others(self) -> str:
        counts = [f"{count:,} {kind}" for kind, count in sorted(self.others.items())]
        return ", ".join(counts + ([f"{self.hidden:,} hidden"] if self.hidden else []))


def _add_pattern(expansion: Expansion, pattern: str) -> None:
    """Add the files and directories that a pattern names. Raises NotFound, or InvalidInput if none can be loaded."""
    base, parts = path_pattern.split(os.path.expanduser(pattern))
    base = base or os.curdir
    matches = sorted(set(_matches(base, parts, set())))
    if not matches:
        raise errors.NotFound(f"No file matches {pattern!r}." if os.path.isdir(base) else _no_directory(base))
    left_out = [problem for path in matches if (problem := _add_match(expansion, path, base))]
    if len(left_out) == len(matches):
        more = f" The {len(matches) - 1:,} other matches can't be loaded either." if len(matches) > 1 else ""
        raise errors.InvalidInput(left_out[0] + more)


def _add_match(expansion: Expansion, path: str, base: str) -> str | None:
    """Add a file or directory that matches a pattern. Return a sentence if it can't be loaded."""
    if os.path.isdir(path):
        try:
            _add_directory(expansion, path, base)
        except errors.InvalidInput as error:
            return str(error)
    elif expansion.is_loadable(os.path.basename(path)):
        _add_file(expansion, base, os.path.relpath(path, base), base)
    else:
        return f"The format of {path} can't be told from its name. Use --format."
    return None


def _no_directory(path: str) -> str:
    return f"There is no directory {path!r}."


def _matches(folder: str, parts: Sequence[str], entered: set[tuple[str, int]]) -> Iterator[str]:
    """Yield the paths in a folder that match the parts of a pattern. `**` is any number of folders, also none.

    `entered` has the real folders with the number of parts that were matched in them, because links may form a loop.
    """
    if (step := (os.path.realpath(folder), len(parts))) in entered:
        return
    entered.add(step)
    part, others = parts[0], parts[1:]
    if part == path_pattern.ANY_FOLDERS:
        yield from _matches(folder, others, entered)
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        path = os.path.join(folder, name) if folder != os.curdir else name
        if part == path_pattern.ANY_FOLDERS:
            if not path_columns.is_hidden(name) and os.path.isdir(path):
                yield from _matches(path, parts, entered)
        elif path_pattern.matches_part(name, part):
            if not others:
                yield path
            elif os.path.isdir(path):
                yield from _matches(path, others, entered)
