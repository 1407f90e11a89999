"""Sources: directories and s3:// prefixes that are watched for files of samples or labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import distinct, func, or_, select, update
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.org import DataSource, IngestedFile, Model, Version

LONGEST_NAME = 100


@dataclass(frozen=True)
class NewSource:
    """What a source is made from.

    `kind` is samples or labels, `mapping` a file's columns to fields (ingestion.files.reader).
    """

    name: str
    url: str
    kind: str
    model_id: int
    version_id: int | None
    mapping: Mapping[str, str]


def add(session: Session, new: NewSource) -> DataSource:
    """Begin to watch. Raises Conflict when the name is taken, InvalidInput when it can't be one."""
    if not new.name.strip() or len(new.name) > LONGEST_NAME or "\0" in new.name:
        raise errors.InvalidInput(f"A source's name has 1 to {LONGEST_NAME} characters.")
    if session.scalar(select(DataSource.id).where(DataSource.name == new.name)) is not None:
        raise errors.Conflict(f'There is a source {new.name!r} already; "dcmon source show {new.name}" shows it.')
    source = DataSource(
        name=new.name,
        url=new.url,
        kind=new.kind,
        model_id=new.model_id,
        version_id=new.version_id,
        mapping=dict(new.mapping),
    )
    session.add(source)
    session.flush()
    return source


def entries(session: Session) -> list[DataSource]:
    """All sources, by name."""
    return list(session.scalars(select(DataSource).order_by(DataSource.name)))


def find(session: Session, name: str) -> DataSource:
    """The source of that name. Raises NotFound."""
    source = session.scalar(select(DataSource).where(DataSource.name == name))
    if source is None:
        raise errors.SourceNotFound(name=name)
    return source


def remove(session: Session, source: DataSource) -> None:
    """Watch it no more. What came from it stays, and is known should it be watched again."""
    session.delete(source)
    session.flush()


def describe(session: Session, source: DataSource) -> dict[str, Any]:
    """A source with what it is for, and what became of its files."""
    model = session.get_one(Model, source.model_id)
    version = None if source.version_id is None else session.get_one(Version, source.version_id)
    counts = session.execute(
        select(
            func.count(distinct(IngestedFile.path)),
            func.count(distinct(IngestedFile.path)).filter(IngestedFile.finished_at.is_not(None)),
            func.count(distinct(IngestedFile.path)).filter(IngestedFile.error.is_not(None)),
            func.coalesce(func.sum(IngestedFile.stored), 0),
            func.coalesce(func.sum(IngestedFile.quarantined), 0),
        ).where(IngestedFile.source_id == source.id)
    ).one()
    named = ("files", "loaded", "failed", "stored", "quarantined")
    return {
        "name": source.name,
        "url": source.url,
        "kind": source.kind,
        "model": model.name,
        "version": version.name if version else None,
        "mapping": source.mapping or None,
        **{name: int(count) for name, count in zip(named, counts, strict=True)},
        "scanned_at": source.scanned_at,
        "last_error": source.last_error,
    }


def failed_files(session: Session, source: DataSource) -> list[IngestedFile]:
    """The files of a source that could not be read, by path."""
    failed = select(IngestedFile).where(IngestedFile.source_id == source.id, IngestedFile.error.is_not(None))
    return list(session.scalars(failed.order_by(IngestedFile.path)))


def settled_stamps(session: Session, source_id: int, paths: Sequence[str], retry: bool) -> set[tuple[str, str | None]]:
    """Path and stamp of files that need no look: those that are in and, unless they are tried again, that failed."""
    is_in, failed = IngestedFile.finished_at.is_not(None), IngestedFile.error.is_not(None)
    is_settled = is_in if retry else or_(is_in, failed)
    found = select(IngestedFile.path, IngestedFile.stamp).where(
        IngestedFile.source_id == source_id, IngestedFile.path.in_(paths), is_settled
    )
    return {(path, stamp) for path, stamp in session.execute(found)}


def place_file(session: Session, source_id: int, mark: str, path: str, stamp: str | None) -> None:
    """Say where the file of a mark lies, and that whatever failed there before has another content now."""
    session.execute(
        update(IngestedFile).where(IngestedFile.digest == mark).values(source_id=source_id, path=path, stamp=stamp)
    )
    at_path = (IngestedFile.source_id == source_id, IngestedFile.path == path)
    session.execute(update(IngestedFile).where(*at_path, IngestedFile.digest != mark).values(error=None))
