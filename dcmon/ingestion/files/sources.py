"""Sources: directories and s3:// prefixes that are watched for files of samples or labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import distinct, func, or_, select, update
from sqlalchemy.orm import Session

from dcmon import errors, file_errors
from dcmon.db.tables.org import DataSource, IngestedFile, Model, Version
from dcmon.formatting import without_password
from dcmon.ingestion.files import directory, store_keys
from dcmon.ingestion.files.dialect import NO_OPTIONS, Dialect
from dcmon.ingestion.files.locations import AccessKeys, FileEntry, Location
from dcmon.settings import S3
from dcmon.states import RowKind

MAX_NAME_LENGTH = 100


@dataclass(frozen=True)
class NewSource:
    """The properties of a source to be created.

    `mapping` has the field of each column whose name differs (`renames` of ColumnMapping).
    `dialect` says how its files are written, `constants` has the texts of --set by field. `is_of_path`: it is made for
    the object store path of its model.
    """

    name: str
    url: str
    kind: RowKind
    model_id: int
    version_id: int | None
    mapping: Mapping[str, str]
    dialect: Dialect = NO_OPTIONS
    constants: Mapping[str, str] = field(default_factory=dict)
    is_of_path: bool = False


class FileStamp(NamedTuple):
    """A file of a source, with a stamp that changes with its content."""

    path: str
    stamp: str | None


def location(url: str, s3_settings: S3, keys: AccessKeys | None = None) -> Location:
    """Return the location of a URL: /path, file:///path or s3://bucket/prefix. Raises InvalidInput.

    `keys`: the organization's own keys, which a bucket is read with; None: those of the process.
    """
    parsed: Location | None
    if (shown := without_password(url)) != url:
        raise errors.InvalidInput(
            f"The source {shown!r} can't have a user or password in its URL: it would be stored and shown."
            ' "dcmon source set-keys" stores keys of an organization. Without them the worker finds keys as AWS tools'
            " do, in the environment, in ~/.aws or by the role of the machine."
        )
    if is_bucket(url):
        from dcmon.ingestion.files import s3  # imports botocore, which only buckets need

        parsed = s3.parse(url, s3_settings, keys)
    else:
        parsed = directory.parse(url)
    if parsed is None:
        raise errors.InvalidInput(
            f"{url!r} can't be a source. Use a directory (/path or file:///path), a bucket (s3://bucket/prefix),"
            " or a pattern."
        )
    return parsed


def location_of(session: Session, source: DataSource, s3_settings: S3) -> Location:
    """Return the location of a source, with the keys that it is read with.

    Raises InvalidInput, SecretUnreadable, or OwnKeysMissing for a model's path in an organization without keys.
    """
    keys = store_keys.of_organization(session) if is_bucket(source.url) else None
    if source.is_of_path and keys is None:
        raise file_errors.OwnKeysMissing
    return location(source.url, s3_settings, keys)


def is_bucket(url: str) -> bool:
    """Return True if a location is in an object store."""
    return url.startswith("s3://")


def add(session: Session, new: NewSource) -> DataSource:
    """Add a source. Raises Conflict if the name is taken, InvalidInput if the name is not valid."""
    _require_free_name(session, new.name)
    source = DataSource(
        name=new.name,
        url=new.url,
        kind=new.kind,
        model_id=new.model_id,
        version_id=new.version_id,
        mapping=dict(new.mapping),
        dialect=new.dialect.given() or None,
        constants=dict(new.constants) or None,
        is_of_path=new.is_of_path,
    )
    session.add(source)
    session.flush()
    return source


def change(session: Session, source: DataSource, wanted: NewSource) -> None:
    """Change where the files of a source are, how they are read, and the version of their rows."""
    source.url, source.version_id = wanted.url, wanted.version_id
    source.mapping, source.constants = dict(wanted.mapping), dict(wanted.constants) or None
    source.dialect = wanted.dialect.given() or None
    session.flush()


def rename(session: Session, source: DataSource, name: str) -> None:
    """Give a source another name; its files and rows stay. Raises InvalidInput or Conflict."""
    if name != source.name:
        _require_free_name(session, name)
        source.name = name
        session.flush()


def _require_free_name(session: Session, name: str) -> None:
    if not name.strip() or len(name) > MAX_NAME_LENGTH or "\0" in name:
        raise errors.InvalidInput(f"A source's name has 1 to {MAX_NAME_LENGTH} characters.")
    if session.scalar(select(DataSource.id).where(DataSource.name == name)) is not None:
        raise errors.Conflict(f'There is a source {name!r} already: "dcmon source show {name}" shows it.')


def entries(session: Session) -> list[DataSource]:
    """Return all sources, by name."""
    return list(session.scalars(select(DataSource).order_by(DataSource.name)))


def longest_unscanned(session: Session) -> list[DataSource]:
    """Return the active sources, first those that were never scanned, then those whose last scan is the oldest."""
    statement = select(DataSource).where(DataSource.is_active)
    return list(session.scalars(statement.order_by(DataSource.scanned_at.nulls_first(), DataSource.id)))


def find(session: Session, name: str, *, is_locked: bool = False) -> DataSource:
    """Return the source with a name. Raises SourceNotFound.

    `is_locked`: no other transaction can change it before this one ends, so that no change is lost.
    """
    statement = select(DataSource).where(DataSource.name == name)
    source = session.scalar(statement.with_for_update(key_share=True) if is_locked else statement)
    if source is None:
        raise errors.SourceNotFound(name=name, known=session.scalars(select(DataSource.name)))
    return source


def remove(session: Session, source: DataSource) -> None:
    """Remove a source. Its rows and the list of its files stay: a source added again loads only new files."""
    session.delete(source)
    session.flush()


def describe(session: Session, source: DataSource) -> dict[str, Any]:
    """Return a source with its model, its version, and the counts of files and rows."""
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
    names = ("files", "loaded", "failed", "stored", "quarantined")
    return {
        "name": source.name,
        "url": without_password(source.url),
        "kind": source.kind,
        "model": model.name,
        "version": version.name if version else None,
        "mapping": source.mapping or None,
        "dialect": source.dialect,
        "constants": source.constants,
        **{name: int(count) for name, count in zip(names, counts, strict=True)},
        "is_of_path": source.is_of_path,
        "is_active": source.is_active,
        "scanned_at": source.scanned_at,
        "last_error": source.last_error,
    }


def failed_files(session: Session, source: DataSource) -> list[IngestedFile]:
    """Return the files of a source that could not be read, by path."""
    failed = select(IngestedFile).where(IngestedFile.source_id == source.id, IngestedFile.error.is_not(None))
    return list(session.scalars(failed.order_by(IngestedFile.path)))


def processed_files(session: Session, source_id: int, paths: Sequence[str], *, is_retry: bool) -> set[FileStamp]:
    """Return the files that a scan skips: loaded files and, without `is_retry`, failed files."""
    is_loaded, has_failed = IngestedFile.finished_at.is_not(None), IngestedFile.error.is_not(None)
    statement = select(IngestedFile.path, IngestedFile.stamp).where(
        IngestedFile.source_id == source_id,
        IngestedFile.path.in_(paths),
        is_loaded if is_retry else or_(is_loaded, has_failed),
    )
    return {FileStamp(path, stamp) for path, stamp in session.execute(statement)}


def record_file(session: Session, source_id: int, fingerprint: str, entry: FileEntry) -> None:
    """Record source, path and stamp of a file. Clear the errors of earlier contents of the path."""
    values = {"source_id": source_id, "path": entry.path, "stamp": entry.stamp}
    session.execute(update(IngestedFile).where(IngestedFile.digest == fingerprint).values(**values))
    at_path = (IngestedFile.source_id == source_id, IngestedFile.path == entry.path)
    session.execute(update(IngestedFile).where(*at_path, IngestedFile.digest != fingerprint).values(error=None))
