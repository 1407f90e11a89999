"""The progress of loaded files: rows of table ingested_files, by the file's fingerprint."""

from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.org import IngestedFile
from dcmon.ingestion.files.file_target import FileTarget


class FileProgress(NamedTuple):
    """The progress of a file: `next_row` is the first row that is not stored yet.

    `taken` and `quarantined` count the rows before it.
    """

    next_row: int = 0
    is_loaded: bool = False
    taken: int = 0
    quarantined: int = 0


def register(session: Session, fingerprint: str, path: str, target: FileTarget) -> FileProgress:
    """Add a file unless it is known already, and return its progress."""
    values = {"kind": target.kind, "model_id": target.model_id, "version_id": target.version_id}
    session.execute(insert(IngestedFile).values(digest=fingerprint, path=path, **values).on_conflict_do_nothing())
    return _progress(get(session, fingerprint))


def progress(session: Session, fingerprint: str) -> FileProgress:
    """Return the progress of a file. A file that was never registered has no stored row."""
    entry = session.scalar(select(IngestedFile).where(IngestedFile.digest == fingerprint))
    return FileProgress() if entry is None else _progress(entry)


def next_fingerprint(session: Session, fingerprint: str) -> str:
    """Return another fingerprint for a loaded file, so that it can be loaded again."""
    finished = IngestedFile.digest.startswith(fingerprint), IngestedFile.finished_at.is_not(None)
    times = session.scalar(select(func.count()).where(*finished))
    return f"{fingerprint}/{times + 1}" if times else fingerprint


def get(session: Session, fingerprint: str, *, is_locked: bool = False) -> IngestedFile:
    """Return the row of a registered file. Raises NotFound if its model or version was deleted."""
    statement = select(IngestedFile).where(IngestedFile.digest == fingerprint)
    entry = session.scalar(statement.with_for_update() if is_locked else statement)
    if entry is None:
        raise errors.NotFound("The model or version of the file was deleted while the file was loaded.")
    return entry


def _progress(entry: IngestedFile) -> FileProgress:
    return FileProgress(entry.next_row, entry.finished_at is not None, entry.taken, entry.quarantined)
