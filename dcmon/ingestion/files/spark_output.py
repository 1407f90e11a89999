"""Output directories of Spark: which are complete, and which are being written.

Spark's committers write below `_temporary` (Hadoop), `.spark-staging-*` (overwritten partitions) or `__magic*` (S3A),
move the files `part-00000-…` into place, and then write `_SUCCESS`. Databricks writes `_started_T` and `_committed_T`
for each transaction T, and names its files `part-00000-tid-T-…`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

from dcmon.ingestion.files import path_columns

PART_FILE = re.compile(r"part-(?:[mr]-)?\d{5}(?!\d)")  # not part-0.parquet, which pyarrow writes
TRANSACTION = re.compile(r"-tid-(\d+)-")
TEMPORARY = "_temporary"  # but not _temporary_$folder$, which some clients of S3 leave for ever
STAGING = (".spark-staging", "__magic")
STARTED, COMMITTED = "_started_", "_committed_"
FINISHED = {"_SUCCESS", "_delta_log"}  # a Delta table never has _SUCCESS


class OutputState(StrEnum):
    """Whether the writer of a file is done."""

    WRITTEN = "written"
    BEING_WRITTEN = "being written"
    UNMARKED = "unmarked"  # a part file of Spark, without a marker


@dataclass
class Markers:
    """The markers of Spark below a location, by their folder. Paths are relative to the location."""

    by_folder: dict[str, set[str]] = field(default_factory=dict)

    def add(self, hidden_paths: Iterable[str]) -> None:
        """Add paths with a hidden part. All but markers are ignored."""
        for path in hidden_paths:
            folder: list[str] = []
            for part in PurePosixPath(path).parts:
                if path_columns.is_hidden(part):
                    if part == TEMPORARY or part in FINISHED or part.startswith((*STAGING, STARTED, COMMITTED)):
                        self.by_folder.setdefault("/".join(folder), set()).add(part)
                    break
                folder.append(part)

    def state(self, path: str) -> OutputState:
        """Return the state of a file from the markers of its output directory. Files of other writers are written."""
        if PART_FILE.match(PurePosixPath(path).name) is None:
            return OutputState.WRITTEN
        folder = PurePosixPath(path).parent
        transaction = TRANSACTION.search(path)
        markers = self._markers(folder)
        while path_columns.is_key_value(folder.name):
            folder = folder.parent
            markers |= self._markers(folder)
        if TEMPORARY in markers or any(marker.startswith(STAGING) for marker in markers):
            return OutputState.BEING_WRITTEN
        if transaction and STARTED + transaction[1] in markers:
            is_committed = COMMITTED + transaction[1] in markers
            return OutputState.WRITTEN if is_committed else OutputState.BEING_WRITTEN
        is_marked = markers & FINISHED or any(marker.startswith(COMMITTED) for marker in markers)
        return OutputState.WRITTEN if is_marked else OutputState.UNMARKED

    def folders(self, marker: str) -> list[str]:
        """Return the folders that have a marker."""
        return sorted(folder for folder, markers in self.by_folder.items() if marker in markers)

    def _markers(self, folder: PurePosixPath) -> set[str]:
        return set(self.by_folder.get("" if str(folder) == "." else str(folder), ()))


def output_directory(path: str) -> str:
    """Return the output directory of a file: its folder, without the folders of columns."""
    folder = PurePosixPath(path).parent
    while path_columns.is_key_value(folder.name):
        folder = folder.parent
    return str(folder)


def is_empty_part(path: str, size: int) -> bool:
    """Return True for a part file without a byte, as Spark writes it for a partition without rows."""
    return size == 0 and PART_FILE.match(PurePosixPath(path).name) is not None
