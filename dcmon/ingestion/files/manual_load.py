"""Load one file that an operator names, or count the rows to be stored."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import BinaryIO

from sqlalchemy import Engine

from dcmon import db, errors
from dcmon.db import Organization
from dcmon.ingestion.files import dry_run, file_target, loader, reader, registry
from dcmon.ingestion.files.file_target import FileTarget
from dcmon.ingestion.files.loader import FileLoader, LoadResult, ReportProgress
from dcmon.ingestion.files.path_columns import PathColumns
from dcmon.ingestion.files.path_expansion import NamedFile
from dcmon.ingestion.files.registry import FileProgress
from dcmon.ingestion.files.rejection_limit import CHECKED_ROWS, DEFAULT_LIMIT, RejectionLimit
from dcmon.states import RowKind

NONE = FileProgress()


class LoadAction(StrEnum):
    """The outcome of a run for one file."""

    LOADED = "loaded"
    RESUMED = "resumed"  # an earlier run had stored rows of it
    SKIPPED = "in already"
    COUNTED = "not stored"  # a dry run
    REFUSED = "refused"  # too many of the first rows are rejected; nothing is stored


@dataclass(frozen=True)
class LoadRequest:
    """A file to load. The path "-" is the standard input. Without `format`, the file's name shows the format.

    `is_repeated`: load the file even if it is loaded already. `path_columns`: the columns in the file's path.
    `stream` has the bytes of the standard input. `content`: the digest that the file must have, because its first rows
    were checked.
    """

    path: str
    format: str | None = None
    is_repeated: bool = False
    is_dry_run: bool = False
    path_columns: PathColumns = field(default_factory=dict)
    limit: RejectionLimit = DEFAULT_LIMIT
    stream: BinaryIO | None = None
    content: str | None = None


@dataclass(frozen=True)
class Excess:
    """More rejected rows of a kind than the limit: `rejected` of `rows`. `limit` is its text."""

    kind: RowKind
    rejected: int
    rows: int
    limit: str


@dataclass(frozen=True)
class ManualLoad:
    """The result of a load request: the outcome, the counts, and the kind of the rows.

    `remarks` says how the file writes its values. `excess`: that of rejected rows, if there is one.
    """

    action: LoadAction
    result: LoadResult
    kind: RowKind = RowKind.SAMPLES
    remarks: Sequence[str] = ()
    excess: Excess | None = None


@dataclass(frozen=True)
class FirstRows:
    """A check of the first rows of a file. `refused` is None if they may be loaded; `content` is the file's digest."""

    content: str
    refused: ManualLoad | None


@contextmanager
def requests(files: Sequence[NamedFile], template: LoadRequest) -> Iterator[list[LoadRequest]]:
    """Yield a request for each file, all of which can be read twice.

    The standard input is copied to a temporary file. The other properties are those of `template`.
    """
    with ExitStack() as stack:
        created = []
        for file in files:
            stream = stack.enter_context(reader.standard_input()) if file.path == reader.STDIN else None
            created.append(replace(template, path=file.path, path_columns=file.columns, stream=stream))
        yield created


def check_first_rows(engine: Engine, org: Organization, target: FileTarget, request: LoadRequest) -> FirstRows:
    """Judge the first rows of a file, of which no row is stored yet. Stores nothing.

    A file that is loaded, or in part, is not judged.
    Raises InvalidInput, NotFound, FileRefused or FileChanged.
    """
    with _open(target, request) as opened:
        file, target = opened
        _, progress = _find(engine, org, target, request, file)
        if request.limit.allows_all or progress.is_loaded or progress.next_row:
            return FirstRows(file.content, None)
        result = dry_run.count(engine, org, file, target, chunks=CHECKED_ROWS // reader.ROWS_AT_ONCE)
        excess = _excess(result, target.kind, request.limit)
        refused = (
            ManualLoad(LoadAction.REFUSED, result, target.kind, file.remarks(target.mapping), excess)
            if excess
            else None
        )
        return FirstRows(file.content, refused)


@contextmanager
def _open(target: FileTarget, request: LoadRequest) -> "Iterator[tuple[reader.File, FileTarget]]":
    """Open a file, with the target of its columns. Raises InvalidInput, NotFound or FileRefused."""
    target = target.with_path(request.path_columns)
    with reader.open_file(request.path, request.format, stream=request.stream, dialect=target.dialect) as file:
        yield file, target.for_columns(file.column_names(target.mapping))


def _find(
    engine: Engine, org: Organization, target: FileTarget, request: LoadRequest, file: reader.File
) -> tuple[str, FileProgress]:
    """Return the fingerprint of an open file and its progress. Raises FileChanged."""
    if request.content not in (None, file.content):
        raise errors.FileChanged(path=request.path)
    fingerprint = file_target.fingerprint(file, target)
    with db.org_session(engine, org) as session:
        if request.is_repeated:
            fingerprint = registry.next_fingerprint(session, fingerprint)
        return fingerprint, registry.progress(session, fingerprint)


def _excess(result: LoadResult, kind: RowKind, limit: RejectionLimit, earlier: FileProgress = NONE) -> Excess | None:
    """Return the excess of rejected rows, with those of an earlier run. Labels beside samples are judged alone."""
    for counted, outcome, before in ((kind, result.outcome, earlier), (RowKind.LABELS, result.labels, NONE)):
        rejected, rows = result.rejections.count(counted) + before.quarantined, outcome.taken + before.taken
        if limit.is_exceeded(rejected, rows):
            return Excess(counted, rejected, rows, limit.text(rows))
    return None


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
    with _open(target, request) as opened:
        file, target = opened
        fingerprint, progress = _find(engine, org, target, request, file)
        if progress.is_loaded:
            with db.org_session(engine, org) as session:
                result = loader.result_of_loaded_file(session, fingerprint, request.path)
            return ManualLoad(LoadAction.SKIPPED, result, target.kind)
        remarks = file.remarks(target.mapping)
        if request.is_dry_run:
            result, action = dry_run.count(engine, org, file, target, progress.next_row), LoadAction.COUNTED
        else:
            with db.org_session(engine, org) as session:
                progress = registry.register(session, fingerprint, request.path, target)
            result = FileLoader(engine, org, report).load(file, target, fingerprint, progress.next_row)
            action = LoadAction.RESUMED if progress.next_row else LoadAction.LOADED
        excess = _excess(result, target.kind, request.limit, progress)
        return ManualLoad(action, result, target.kind, remarks, excess)
