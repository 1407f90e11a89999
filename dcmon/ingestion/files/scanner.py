"""Scan a source: load the files that are new or changed. A file that can't be read does not stop the others."""

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from threading import Event
from typing import BinaryIO

from sqlalchemy import Engine, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from dcmon import db, errors, file_errors
from dcmon.db import Organization, dry_runs, locks
from dcmon.db.locks import LockSpace
from dcmon.db.tables.org import DataSource, IngestedFile
from dcmon.ingestion.files import (
    dialect,
    dry_run,
    file_target,
    path_columns,
    path_pattern,
    reader,
    registry,
    sources,
    spark_output,
)
from dcmon.ingestion.files.file_target import FileTarget
from dcmon.ingestion.files.loader import FileLoader, LoadResult
from dcmon.ingestion.files.locations import FileEntry, Location
from dcmon.ingestion.files.spark_output import Markers, OutputState
from dcmon.settings import S3
from dcmon.states import RowKind
from dcmon.storage import models, versions

log = logging.getLogger(__name__)

UNMARKED_WAIT = 3600.0  # seconds: not all writers of part-00000-… make a marker _SUCCESS
STALLED_AFTER = 86_400.0  # seconds: a job that runs so long has most likely failed
MAX_FILES_AT_ONCE = 100_000  # per scan, because their entries are in memory; the next scan loads the other files


class ScanStopped(Exception):
    """The scanner was told to stop. Rows that it has stored stay stored."""


@dataclass
class ScanResult:
    """The result of a scan. `failed` has the files that can't be read, each with the reason.

    `newly_failed` has the paths of failed files that did not fail at the last try, or failed for another reason.
    `being_written` is the number of files that are not complete yet. `failed_before` is the number of files that failed
    in an earlier scan and were not tried again. `waiting` has the directories that Spark has not finished, each with
    a sentence; `stalled` those of them that have waited for more than a day.
    """

    source: str
    seen: int = 0
    loaded: list[LoadResult] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    newly_failed: list[str] = field(default_factory=list)
    being_written: int = 0
    failed_before: int = 0
    waiting: dict[str, str] = field(default_factory=dict)
    stalled: list[str] = field(default_factory=list)

    @property
    def stall(self) -> str | None:
        """Return the sentence for directories that Spark has not finished in a day; None if there is none."""
        if not self.stalled:
            return None
        others = f" and {len(self.stalled) - 1} others" if len(self.stalled) > 1 else ""
        return (
            f"The files of {self.stalled[0]}{others} wait for more than a day, because Spark has not finished writing."
            " If the job has failed, delete what it left, such as _temporary."
        )


@dataclass(frozen=True)
class Scanner:
    """Scans the sources of an organization until `stop` is set.

    `deadline`: the time.monotonic() after which no further file is begun; the next scan continues. None: none.
    """

    engine: Engine
    org: Organization
    s3: S3
    stop: Event = field(default_factory=Event)
    deadline: float | None = None

    def scan(self, name: str, *, retry: bool = False) -> ScanResult:
        """Load the new files; with `retry` also files that failed before and did not change.

        Raises NotFound, Unreachable, StorageRefused, OwnKeysRefused, OwnKeysMissing, FileRefused, ScanStopped, or
        Locked if another process scans the source.
        """
        with db.org_session(self.engine, self.org) as session:
            source = sources.find(session, name)
            target = _target(session, source)
        scan = _SourceScan(self, source, target, ScanResult(name))
        with self._exclusive(source):
            try:
                scan.run(retry)
            except errors.DcmonError as error:
                self._record(source, str(error))
                raise
            self._record(source, scan.result.stall)
        with db.org_session(self.engine, self.org) as session:
            failed = {entry.path for entry in sources.failed_files(session, source)}
        scan.result.failed_before = len(failed - scan.result.failed.keys())
        return scan.result

    def is_late(self) -> bool:
        """Return True after the deadline."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def _record(self, source: DataSource, error: str | None) -> None:
        with db.org_session(self.engine, self.org) as session:
            values = {"scanned_at": datetime.now(UTC), "last_error": error}
            session.execute(update(DataSource).where(DataSource.id == source.id).values(**values))

    @contextmanager
    def _exclusive(self, source: DataSource) -> Iterator[None]:
        """Keep other processes from scanning the source. Raises Locked if one does."""
        refusal = f"Source {source.name!r} is being scanned by another process. Try again later."
        name = f"{self.org.schema}/{source.id}"
        with locks.exclusive(self.engine, LockSpace.FILE_SOURCE, name, refusal=refusal):
            yield


@dataclass(frozen=True)
class _SourceScan:
    """One scan of one source, with its result so far."""

    scanner: Scanner
    source: DataSource
    target: FileTarget
    result: ScanResult

    @property
    def _base(self) -> str:
        """The source's URL, or the part of it before the first wildcard."""
        url = self.source.url
        return (path_pattern.split(url).base if path_pattern.is_pattern(url) else url).rstrip("/")

    def run(self, retry: bool) -> None:
        """Load all files that are new or changed. Raises ScanStopped."""
        with db.org_session(self.scanner.engine, self.scanner.org) as session:
            location = sources.location_of(session, self.source, self.scanner.s3)
        pending, markers = list[FileEntry](), Markers()
        for page in location.pages():
            markers.add(page.hidden)
            self.result.seen += len(page.files)
            if len(pending) < MAX_FILES_AT_ONCE:  # the pages after it may still have markers
                pending += self._new_files(page.files, retry)
            if self.scanner.stop.is_set():
                raise ScanStopped
        # The label that was logged last wins, so load files in the order in which they were written.
        for entry in sorted(pending, key=lambda entry: (entry.modified, entry.path)):
            if self._is_written(entry, markers):
                self.load(location, entry)
                if self.scanner.is_late():  # after a file, so that each scan loads one
                    break

    def _is_written(self, entry: FileEntry, markers: Markers) -> bool:
        """Return True if the writer of a file's directory is done. Otherwise record what the file waits for."""
        state, age = markers.state(entry.path), time.time() - entry.modified
        if state == OutputState.WRITTEN or (state == OutputState.UNMARKED and age > UNMARKED_WAIT):
            return True
        self.result.being_written += 1
        directory = f"{self._base}/{spark_output.output_directory(entry.path)}".removesuffix("/.")
        if state == OutputState.UNMARKED:
            self.result.waiting[directory] = "its files wait an hour for _SUCCESS."
        else:
            is_old = age > STALLED_AFTER
            hint = " If the job has failed, delete what it left, such as _temporary." if is_old else ""
            self.result.waiting[directory] = f"Spark is writing it.{hint}"
            self.result.stalled += [directory] if is_old and directory not in self.result.stalled else []
        return False

    def _new_files(self, page: list[FileEntry], retry: bool) -> Iterator[FileEntry]:
        """Yield the files of a page that are new or changed, and completely written."""
        with db.org_session(self.scanner.engine, self.scanner.org) as session:
            paths = [entry.path for entry in page]
            processed = sources.processed_files(session, self.source.id, paths, is_retry=retry)
        for entry in page:
            if (entry.path, entry.stamp) in processed:
                continue
            self.result.being_written += not entry.is_complete
            if entry.is_complete:
                yield entry

    def load(self, location: Location, entry: FileEntry) -> None:
        """Load one file, or record the reason why it can't be loaded."""
        unreadable = f"unreadable {self.source.url} {entry.path}".encode()
        fingerprint = blake2b(unreadable, digest_size=16).hexdigest()  # until the content is known
        try:
            target = self.target.with_path(path_columns.parse(self._base, entry.path))
            with location.fetch(entry.path, self._proceed) as stream, self._open(entry.path, stream) as file:
                fingerprint = file_target.fingerprint(file, target, f"{self.source.url} {entry.path}")
                loaded = self._load(entry, file, target, fingerprint)
        except errors.NotFound as error:
            log.info("file deleted during scan: source %s, %s: %s", self.source.name, entry.path, error)
        except file_errors.FileChanged:
            self.result.being_written += 1
        except errors.InvalidInput as error:
            self._record_failure(entry, fingerprint, str(error))
        except (file_errors.FileRefused, OSError) as error:
            # Permissions and disks can be repaired without a change of the file. Without a stamp, every scan tries it.
            self._record_failure(entry._replace(stamp=None), fingerprint, str(error))
        except (errors.DcmonError, DBAPIError, ScanStopped):
            raise
        except Exception as error:
            # The content of a file must never prevent the files after it from being loaded.
            log.exception("file can't be loaded: source %s, %s", self.source.name, entry.path)
            self._record_failure(entry, fingerprint, f"{type(error).__name__}: {error}")
        else:
            if loaded is not None:
                self.result.loaded.append(loaded)

    def _open(self, path: str, stream: BinaryIO) -> AbstractContextManager[reader.File]:
        """Open a file. A source may have files of several formats, so options without a meaning for one are ignored."""
        meaningful = self.target.dialect.for_format(reader.format_of(path) or "")
        return reader.open_file(path, stream=stream, dialect=meaningful)

    def _load(self, entry: FileEntry, file: reader.File, target: FileTarget, fingerprint: str) -> LoadResult | None:
        """Load the rows of a file that are not stored yet, or count them in a dry run. None if all rows are stored."""
        if dry_runs.is_dry(self.scanner.engine):
            return self._count(file, target, fingerprint)
        with db.org_session(self.scanner.engine, self.scanner.org) as session:
            progress = registry.register(session, fingerprint, entry.path, target)
            sources.record_file(session, self.source.id, fingerprint, entry)
        if progress.is_loaded:
            return None
        for remark in file.remarks(target.mapping):
            log.info("file of source %s: %s: %s", self.source.name, entry.path, remark)
        file_loader = FileLoader(self.scanner.engine, self.scanner.org, self._report)
        return file_loader.load(file, target, fingerprint, progress.next_row)

    def _count(self, file: reader.File, target: FileTarget, fingerprint: str) -> LoadResult | None:
        """Count what a load would store: the loader's transactions must see the file that an earlier one registered."""
        with db.org_session(self.scanner.engine, self.scanner.org) as session:
            progress = registry.progress(session, fingerprint)
        if progress.is_loaded:
            return None
        return dry_run.count(self.scanner.engine, self.scanner.org, file, target, progress.next_row)

    def _report(self, position: int, size: int) -> None:
        self._proceed()

    def _proceed(self) -> None:
        """Raise ScanStopped if the scanner was told to stop."""
        if self.scanner.stop.is_set():
            raise ScanStopped

    def _record_failure(self, entry: FileEntry, fingerprint: str, reason: str) -> None:
        """Record why a file can't be read. If `entry` has a stamp, only a change of the file causes a new try."""
        self.result.failed[entry.path] = reason
        with db.org_session(self.scanner.engine, self.scanner.org) as session:
            registry.register(session, fingerprint, entry.path, self.target)
            sources.record_file(session, self.source.id, fingerprint, entry)
            by_fingerprint = IngestedFile.digest == fingerprint
            if session.scalar(select(IngestedFile.error).where(by_fingerprint)) != reason:
                self.result.newly_failed.append(entry.path)
            session.execute(update(IngestedFile).where(by_fingerprint).values(error=reason))


def _target(session: Session, source: DataSource) -> FileTarget:
    model = models.get(session, source.model_id)
    version = None if source.version_id is None else versions.get(session, source.version_id)[1]
    kind = RowKind(source.kind)
    version_name = version.name if version else None
    file_dialect = dialect.from_json(source.dialect)
    target = file_target.find(session, model.name, version_name, kind, source.mapping, file_dialect)
    return target.with_constants(source.constants or {})
