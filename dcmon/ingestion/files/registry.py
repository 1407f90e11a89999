"""The progress of loaded files: rows of table ingested_files, by the file's fingerprint."""

from typing import NamedTuple

from sqlalchemy import func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.org import IngestedFile
from dcmon.ingestion.files.file_target import FileTarget
from dcmon.ingestion.files.rejection_limit import FileCounts


class FileProgress(NamedTuple):
    """The progress of a file: `next_row` is the first row that is not stored yet.

    `rows` counts the rows before it, and `labels` the labels beside them.
    """

    next_row: int = 0
    is_loaded: bool = False
    rows: FileCounts = FileCounts()
    labels: FileCounts = FileCounts()


def register(session: Session, fingerprint: str, path: str, target: FileTarget) -> FileProgress:
    """Add a file unless it is known already, and return its progress."""
    values = {"kind": target.kind, "model_id": target.model_id, "version_id": target.version_id}
    session.execute(insert(IngestedFile).values(digest=fingerprint, path=path, **values).on_conflict_do_nothing())
    return progress_of(get(session, fingerprint))


def progress(session: Session, fingerprint: str) -> FileProgress:
    """Return the progress of a file. A file that was never registered has no stored row."""
    entry = session.scalar(select(IngestedFile).where(IngestedFile.digest == fingerprint))
    return FileProgress() if entry is None else progress_of(entry)


def next_fingerprint(session: Session, fingerprint: str) -> str:
    """Return another fingerprint for a file that was read to its end, so that it can be loaded again."""
    is_read = or_(IngestedFile.finished_at.is_not(None), IngestedFile.error.is_not(None))
    times = session.scalar(select(func.count()).where(IngestedFile.digest.startswith(fingerprint), is_read))
    return f"{fingerprint}/{times + 1}" if times else fingerprint


def get(session: Session, fingerprint: str, *, is_locked: bool = False) -> IngestedFile:
    """Return the row of a registered file. Raises NotFound if its model or version was deleted."""
    statement = select(IngestedFile).where(IngestedFile.digest == fingerprint)
    entry = session.scalar(statement.with_for_update() if is_locked else statement)
    if entry is None:
        raise errors.NotFound("The model or version of the file was deleted while the file was loaded.")
    return entry


def progress_of(entry: IngestedFile) -> FileProgress:
    """Return the progress of a registered file."""
    rows = FileCounts(entry.taken, entry.stored, entry.quarantined, entry.rejected)
    labels = FileCounts(entry.labels, rejected=entry.rejected_labels)
    return FileProgress(entry.next_row, entry.finished_at is not None, rows, labels)
