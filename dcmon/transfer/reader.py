"""Read a file part by part, check its sums, and hand its tables to what uses them."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol

import psycopg
from sqlalchemy.exc import OperationalError

from dcmon import db
from dcmon.errors import DcmonError, SecretUnreadable
from dcmon.file_errors import ArchiveDamaged, ArchiveDiffers, ArchiveUnknown
from dcmon.transfer import archive, contents
from dcmon.transfer.archive import Part
from dcmon.transfer.catalog import RowSum
from dcmon.transfer.contents import Manifest, OrganizationDocument, TableEnd, TableHead
from dcmon.transfer.writer import Summary

Progress = Callable[[str, int], None]


class Target(Protocol):
    """What uses the contents of a file, in their order."""

    def begin(self, manifest: Manifest) -> None:
        """Use the manifest, before all else."""

    def begin_organization(self, scope: str, document: OrganizationDocument) -> None:
        """Use the rows of an organization in "public"."""

    def table(self, scope: str, head: TableHead, lines: Iterator[bytes]) -> RowSum | None:
        """Use all lines of a table. Return the sum of the rows that are stored now; None if none are."""

    def end_organization(self, scope: str) -> None:
        """Use the end of an organization, after its last table."""


class OnlyCheck:
    """A target that stores nothing."""

    def begin(self, manifest: Manifest) -> None:
        pass

    def begin_organization(self, scope: str, document: OrganizationDocument) -> None:
        pass

    def table(self, scope: str, head: TableHead, lines: Iterator[bytes]) -> RowSum | None:
        for _ in lines:
            pass
        return None

    def end_organization(self, scope: str) -> None:
        pass


class Reader:
    """Reads one file. `path` is for messages. `progress` gets the name of each table and its number of rows."""

    def __init__(self, stream: BinaryIO, path: str, progress: Progress | None = None) -> None:
        self.path, self.summary = path, Summary()
        self._parts, self._progress = archive.read(stream, path), progress
        self.manifest = self._read_manifest()

    def _read_manifest(self) -> Manifest:
        first = next(self._parts, None)
        if first is None or first.name != contents.MANIFEST:
            raise ArchiveUnknown(path=self.path)
        with self.compared():
            manifest = Manifest.of(first.document, self.path)
            manifest.require_known({lineage: db.head(lineage) for lineage in ("public", "org")}, self.path)
            return manifest

    @contextmanager
    def compared(self) -> Iterator[None]:
        """Compare the checksum of the file when what uses it fails: changed bytes are used before they are noticed.

        Raises ArchiveDamaged in place of the error.
        """
        try:
            yield
        except Exception as error:
            if _can_be_of_changed_bytes(error):
                for _ in self._parts:  # the last part has the checksum
                    pass
            raise

    def read_to(self, target: Target) -> Summary:
        """Hand everything to a target. Raises ArchiveDamaged or ArchiveDiffers."""
        with self.compared():
            self.summary.missing = dict.fromkeys(self.manifest.missing.values(), "")
            return self._read_to(target)

    def _read_to(self, target: Target) -> Summary:
        target.begin(self.manifest)
        for part in self._parts:
            scope, _, leaf = part.name.partition("/")
            if leaf == contents.ORGANIZATION:
                target.begin_organization(scope, OrganizationDocument(**part.document))
            elif leaf == contents.END:
                target.end_organization(scope)
                self.summary.organizations += 1
            elif leaf.endswith(f"/{contents.TABLE}"):
                self._table(target, scope, TableHead(**part.document))
            else:
                raise self._unexpected(part)
        return self.summary

    def _table(self, target: Target, scope: str, head: TableHead) -> None:
        folder, read = f"{scope}/{head.table}", _ReadTable()
        stored = target.table(scope, head, self._lines(folder, read))
        end = read.end
        if end is None:  # the target has not read it to its end
            raise ArchiveDamaged(path=self.path, reason=f"table {folder} has no end")
        if (read.rows, read.digest.hexdigest()) != (end.rows, end.sha256):
            raise ArchiveDamaged(path=self.path, reason=f"the rows of table {folder} do not fit their checksum")
        if stored is not None and stored != RowSum(end.rows, end.checksum):
            reason = f"{stored.rows} of {end.rows} rows" if stored.rows != end.rows else "another checksum"
            raise ArchiveDiffers(table=folder, reason=reason)
        self.summary.add(head, end.rows)
        if self._progress is not None:
            self._progress(folder, end.rows)

    def _lines(self, folder: str, read: "_ReadTable") -> Iterator[bytes]:
        for part in self._parts:
            if part.name == f"{folder}/{contents.END}":
                read.end = TableEnd(**part.document)
                return
            if not (part.name.startswith(f"{folder}/") and part.name.endswith(contents.ROWS)):
                raise self._unexpected(part)
            read.digest.update(part.content)
            read.rows += part.content.count(b"\n")
            yield part.content

    def _unexpected(self, part: Part) -> ArchiveDamaged:
        return ArchiveDamaged(path=self.path, reason=f"part {part.name[:100]!r} is not where it belongs")


def _can_be_of_changed_bytes(error: Exception) -> bool:
    """Return False for errors of the surroundings, such as a lost connection: no file is read on because of them."""
    if isinstance(error, DcmonError):
        return isinstance(error, ArchiveDiffers | SecretUnreadable)
    return not isinstance(error, OSError | OperationalError | psycopg.OperationalError)


class _ReadTable:
    """What was read of a table so far."""

    def __init__(self) -> None:
        self.digest, self.rows = hashlib.sha256(), 0
        self.end: TableEnd | None = None
