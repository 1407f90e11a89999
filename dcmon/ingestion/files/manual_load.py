"""Load one file that an operator names, or count the rows to be stored."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import BinaryIO

from sqlalchemy import Engine

from dcmon import db, file_errors
from dcmon.db import Organization
from dcmon.ingestion.files import dry_run, file_target, loader, reader, registry, spool
from dcmon.ingestion.files.file_target import FileTarget
from dcmon.ingestion.files.loader import FileLoader, LoadResult, ReportProgress
from dcmon.ingestion.files.path_columns import PathColumns
from dcmon.ingestion.files.path_expansion import NamedFile
from dcmon.ingestion.files.registry import FileProgress
from dcmon.ingestion.files.rejection_limit import CHECKED_ROWS, DEFAULT_LIMIT, FileCounts, RejectedShare, RejectionLimit
from dcmon.states import RowKind

NONE = FileProgress()


class LoadAction(StrEnum):
    """The outcome of a run for one file."""

    LOADED = "loaded"
    RESUMED = "resumed"  # an earlier run had stored rows of it
    SKIPPED = "in already"
    COUNTED = "not stored"  # a dry run
    REFUSED = "refused"  # too many of the first rows are rejected; nothing is stored
    EXCEEDED = "too many rejected"  # found at the end: the other rows are stored, and the file is not loaded


@dataclass(frozen=True)
class LoadRequest:
    """A file to load. The path "-" is the standard input. Without `format`, the file's name shows the format.

    `is_repeated`: load the file even if it is loaded already. `path_columns`: the columns in the file's path.
    `stream` has the bytes of the standard input or of a pipe. `content`: the digest that the file must have, because
    its first rows were checked.
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
    """More rejected rows of a kind than the limit, whose text is `limit`."""

    kind: RowKind
    share: RejectedShare
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

    The standard input, and pipes, are copied to temporary files. The other properties are those of `template`.
    """
    with ExitStack() as stack:
        created = []
        for file in files:
            stream = stack.enter_context(spool.spooled(file.path)) if spool.is_needed(file.path) else None
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
        _add_lines(result, file, target)
        excess = _excess(_counted(result, target.kind), target.kind, request.limit)
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
        raise file_errors.FileChanged(path=request.path)
    fingerprint = file_target.fingerprint(file, target)
    with db.org_session(engine, org) as session:
        if request.is_repeated:
            fingerprint = registry.next_fingerprint(session, fingerprint)
        return fingerprint, registry.progress(session, fingerprint)


def _add_lines(result: LoadResult, file: reader.File, target: FileTarget) -> None:
    result.rejections.add_lines(file.line_numbers(target.mapping, result.rejections.first_rows()))


def _counted(result: LoadResult, kind: RowKind, earlier: FileProgress = NONE) -> FileProgress:
    """Return the counts of a file after a run that stored nothing, or only counted."""
    outcome, labels = result.outcome, FileCounts()
    rows = FileCounts(outcome.taken, outcome.stored, outcome.quarantined, result.rejections.count(kind))
    if kind == RowKind.SAMPLES:
        labels = FileCounts(result.labels.taken, rejected=result.rejections.count(RowKind.LABELS))
    return FileProgress(rows=earlier.rows.plus(rows), labels=earlier.labels.plus(labels))


def _excess(progress: FileProgress, kind: RowKind, limit: RejectionLimit) -> Excess | None:
    """Return the excess of rejected rows of a file. Labels beside samples are judged alone."""
    for counted, counts in ((kind, progress.rows), (RowKind.LABELS, progress.labels)):
        if share := limit.excess(counts):
            return Excess(counted, share, limit.text(share.rows))
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
            result = dry_run.count(engine, org, file, target, progress.next_row)
            _add_lines(result, file, target)
            excess = _excess(_counted(result, target.kind, progress), target.kind, request.limit)
            return ManualLoad(LoadAction.COUNTED, result, target.kind, remarks, excess)
        with db.org_session(engine, org) as session:
            first_row = registry.register(session, fingerprint, request.path, target).next_row
        judge = partial(_refusal, target.kind, request.limit)
        result = FileLoader(engine, org, report).load(file, target, fingerprint, first_row, judge)
        _add_lines(result, file, target)
        if first_row or result.rejections.first_rows():
            with db.org_session(engine, org) as session:
                progress = registry.progress(session, fingerprint)
            if not progress.is_loaded and (excess := _excess(progress, target.kind, request.limit)):
                return ManualLoad(LoadAction.EXCEEDED, result, target.kind, remarks, excess)
        return ManualLoad(LoadAction.RESUMED if first_row else LoadAction.LOADED, result, target.kind, remarks)


def _refusal(kind: RowKind, limit: RejectionLimit, progress: FileProgress) -> str | None:
    """Return why a file must not count as loaded, although all its rows were read; None if it may."""
    excess = _excess(progress, kind, limit)
    if excess is None:
        return None
    return f"{excess.share.rejected:,} of {excess.share.rows:,} rows can't be stored: more than {excess.limit}."
