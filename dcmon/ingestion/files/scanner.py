"""Scanning a source: files that are new or changed are loaded; one that can't be read costs itself only."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from threading import Event

from sqlalchemy import Engine, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import Organization, locks
from dcmon.db.locks import LockSpace
from dcmon.db.tables.org import DataSource, IngestedFile
from dcmon.ingestion.files import loader as loading
from dcmon.ingestion.files import locations, reader, sources
from dcmon.ingestion.files.loader import Loaded, Loader, Target
from dcmon.ingestion.files.locations import Entry, Place
from dcmon.settings import S3
from dcmon.storage import models, versions

log = logging.getLogger(__name__)

MOST_AT_ONCE = 100_000  # files of one scan, which are held in memory; the next one takes those after them


class Stopped(Exception):
    """It is time to stop; what is in stays in."""


@dataclass
class Scan:
    """What a scan found: files loaded now, those that can't be read with the reason, those still being written.

    `news` are those that can't be read and could when they were last tried, or could not for another reason;
    `failed_before` counts those that could not be read earlier and were not tried again.
    """

    source: str
    seen: int = 0
    loaded: list[Loaded] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    news: list[str] = field(default_factory=list)
    unsettled: int = 0
    failed_before: int = 0


@dataclass(frozen=True)
class Scanner:
    """Scans the sources of an organization until `stop` is set."""

    engine: Engine
    org: Organization
    s3: S3
    stop: Event = field(default_factory=Event)

    def scan(self, name: str, *, retry: bool = False) -> Scan:
        """Load what is new; with `retry` also what failed before and did not change.

        Raises NotFound, Locked when another one scans it, Unreachable, StorageRefused, FileRefused, Stopped.
        """
        with db.org_session(self.engine, self.org) as session:
            source = sources.find(session, name)
            target = _target(session, source)
        found = Scan(name)
        with self._alone(source):
            try:
                self._scan(source, target, found, retry)
            except errors.DcmonError as error:
                self._say(source, str(error))
                raise
            self._say(source, None)
        with db.org_session(self.engine, self.org) as session:
            known = {entry.path for entry in sources.failed_files(session, source)}
        found.failed_before = len(known - found.failed.keys())
        return found

    def _scan(self, source: DataSource, target: Target, found: Scan, retry: bool) -> None:
        where, pending = place(source.url, self.s3), list[Entry]()
        for page in where.pages():
            found.seen += len(page)
            pending += self._fresh(source, page, retry, found)
            if self.stop.is_set():
                raise Stopped
            if len(pending) >= MOST_AT_ONCE:
                break
        # The last label by time of logging wins: files are taken in the order in which they were written.
        for entry in sorted(pending, key=lambda entry: (entry.modified, entry.path)):
            self._take(source, target, where, entry, found)

    def _fresh(self, source: DataSource, page: list[Entry], retry: bool, found: Scan) -> Iterator[Entry]:
        """The files of a page that are new or changed, and written to their end."""
        with db.org_session(self.engine, self.org) as session:
            known = sources.settled_stamps(session, source.id, [entry.path for entry in page], retry)
        for entry in page:
            if (entry.path, entry.stamp) in known:
                continue
            found.unsettled += not entry.is_settled
            if entry.is_settled:
                yield entry

    def _take(self, source: DataSource, target: Target, where: Place, entry: Entry, found: Scan) -> None:
        """Load one file, or keep why it can't be loaded."""
        mark = blake2b(f"unreadable {source.url} {entry.path}".encode(), digest_size=16).hexdigest()
        try:
            with where.fetch(entry.path) as stream, reader.opened(entry.path, stream=stream) as file:
                mark = loading.digest(file, target, f"{source.url} {entry.path}")
                loaded = self._load(source, target, entry, file, mark)
        except errors.NotFound as error:
            log.info("%s of source %s went away: %s", entry.path, source.name, error)
        except errors.FileChanged:
            found.unsettled += 1
        except errors.InvalidInput as error:
            self._fail(source, target, entry, mark, str(error), found)
        except (errors.FileRefused, OSError) as error:
            # Not for what is in it: permissions and disks are mended without a change of the file.
            self._fail(source, target, entry._replace(stamp=None), mark, str(error), found)
        except (errors.DcmonError, DBAPIError, Stopped):
            raise
        except Exception as error:
            # A file must not keep those after it from being loaded, whatever is in it.
            log.exception("%s of source %s can't be loaded", entry.path, source.name)
            self._fail(source, target, entry, mark, f"{type(error).__name__}: {error}", found)
        else:
            found.loaded += [loaded] * (loaded.in_since is None)

    def _load(self, source: DataSource, target: Target, entry: Entry, file: reader.File, mark: str) -> Loaded:
        loader = Loader(self.engine, self.org, self._advance)
        with db.org_session(self.engine, self.org) as session:
            next_row, is_in = loading.begin(session, mark, entry.path, target)
            sources.place_file(session, source.id, mark, entry.path, entry.stamp)
        return loader.known(mark, entry.path) if is_in else loader.load(file, target, mark, next_row)

    def _advance(self, done: int, size: int) -> None:
        if self.stop.is_set():
            raise Stopped

    def _fail(self, source: DataSource, target: Target, entry: Entry, mark: str, why: str, found: Scan) -> None:
        """Keep why a file can't be read; with a stamp, it is tried again when that has changed."""
        found.failed[entry.path] = why
        with db.org_session(self.engine, self.org) as session:
            loading.begin(session, mark, entry.path, target)
            sources.place_file(session, source.id, mark, entry.path, entry.stamp)
            at_mark = IngestedFile.digest == mark
            if session.scalar(select(IngestedFile.error).where(at_mark)) != why:
                found.news.append(entry.path)
            session.execute(update(IngestedFile).where(at_mark).values(error=why))

    def _say(self, source: DataSource, error: str | None) -> None:
        with db.org_session(self.engine, self.org) as session:
            said = {"scanned_at": datetime.now(UTC), "last_error": error}
            session.execute(update(DataSource).where(DataSource.id == source.id).values(**said))

    @contextmanager
    def _alone(self, source: DataSource) -> Iterator[None]:
        """Keep every other process from scanning the source. Raises Locked when one does."""
        refusal = f"Source {source.name!r} is scanned just now by another process."
        name = f"{self.org.schema}/{source.id}"
        with locks.exclusive(self.engine, LockSpace.FILE_SOURCE, name, refusal=refusal):
            yield


def place(url: str, s3: S3) -> Place:
    """The place that a URL names: /path, file:///path or s3://bucket/prefix. Raises InvalidInput."""
    found: Place | None
    if url.startswith("s3://"):
        from dcmon.ingestion.files import s3 as door  # loads botocore: only who scans a bucket needs it

        found = door.bucket(url, s3)
    else:
        found = locations.directory(url)
    if found is None:
        raise errors.InvalidInput(f"{url!r} is no source: it looks like /path, file:///path or s3://bucket/prefix.")
    return found


def _target(session: Session, source: DataSource) -> Target:
    model = models.get(session, source.model_id)
    version = None if source.version_id is None else versions.get(session, source.version_id)[1]
    return loading.target(session, model.name, version.name if version else None, source.kind, source.mapping)
