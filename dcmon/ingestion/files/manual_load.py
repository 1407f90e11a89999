"""Load one file that an operator names, or count the rows to be stored."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import Engine

from dcmon import db
from dcmon.db import Organization
from dcmon.ingestion.files import dry_run, file_target, loader, reader, registry
from dcmon.ingestion.files.file_target import FileTarget
from dcmon.ingestion.files.loader import FileLoader, LoadResult, ReportProgress
from dcmon.ingestion.files.path_columns import PathColumns
from dcmon.states import RowKind


class LoadAction(StrEnum):
    """The outcome of a run for one file."""

    LOADED = "loaded"
    RESUMED = "resumed"  # an earlier run had stored rows of it
    SKIPPED = "in already"
    COUNTED = "not stored"  # a dry run


@dataclass(frozen=True)
class LoadRequest:
    """A file to load. The path "-" is the standard input. Without `format`, the file's name shows the format.

    `is_repeated`: load the file even if it is loaded already. `path_columns`: the columns in the file's path.
    """

    path: str
    format: str | None = None
    is_repeated: bool = False
    is_dry_run: bool = False
    path_columns: PathColumns = field(default_factory=dict)


@dataclass(frozen=True)
class ManualLoad:
    """The result of a load request: the outcome, the counts, and the kind of the rows.

    `remarks` says how the file writes its values.
    """

    action: LoadAction
    result: LoadResult
    kind: RowKind = RowKind.SAMPLES
    remarks: Sequence[str] = ()


def load(
    engine: Engine,
    org: Organization,
    target: FileTarget,
    request: LoadRequest,
    report: ReportProgress | None = None,
) -> ManualLoad:
    """Load a file, continuing where an earlier run stopped.

    Raises InvalidInput, NotFound, FileRefused, FileChanged, and Locked if other transactions keep the rows locked.
    """
    target = target.with_path(request.path_columns)
    with reader.open_file(request.path, request.format, dialect=target.dialect) as file:
        target = target.for_columns(file.column_names(target.mapping))
        fingerprint = file_target.fingerprint(file, target)
        with db.org_session(engine, org) as session:
            if request.is_repeated:
                fingerprint = registry.next_fingerprint(session, fingerprint)
            progress = registry.progress(session, fingerprint)
            if progress.is_loaded:
                return ManualLoad(
                    LoadAction.SKIPPED, loader.result_of_loaded_file(session, fingerprint, request.path), target.kind
                )
        remarks = file.remarks(target.mapping)
        if request.is_dry_run:
            counted = dry_run.count(engine, org, file, target, progress.next_row)
            return ManualLoad(LoadAction.COUNTED, counted, target.kind, remarks)
        with db.org_session(engine, org) as session:
            first_row = registry.register(session, fingerprint, request.path, target).next_row
        result = FileLoader(engine, org, report).load(file, target, fingerprint, first_row)
        return ManualLoad(LoadAction.RESUMED if first_row else LoadAction.LOADED, result, target.kind, remarks)
