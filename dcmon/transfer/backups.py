"""Back up all organizations to one file, and restore all of them, or one, with their ids and positions in Kafka."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Engine

from dcmon import db, errors
from dcmon.db import Organization, locks
from dcmon.db.locks import LockSpace
from dcmon.tenancy import organizations
from dcmon.transfer import file_secrets, files, leftovers, publication, unfinished
from dcmon.transfer.archive import ArchiveWriter
from dcmon.transfer.catalog import RowSum
from dcmon.transfer.contents import Kind, OrganizationDocument, TableHead
from dcmon.transfer.file_secrets import FileSecrets
from dcmon.transfer.files import NEW_FILE, FileOptions
from dcmon.transfer.loader import Loader
from dcmon.transfer.organization_files import IMPORT_RUNS, SecretOptions, read_secrets, with_old_id
from dcmon.transfer.reader import OnlyCheck, Progress, Reader
from dcmon.transfer.snapshot import consistent
from dcmon.transfer.user_ids import UserIds
from dcmon.transfer.writer import Summary, Writer


@dataclass(frozen=True)
class Restored:
    """What was restored: the names of organizations."""

    names: list[str]
    summary: Summary


def create(
    engine: Engine,
    path: str,
    secrets: SecretOptions,
    *,
    only: str | None = None,
    file: FileOptions = NEW_FILE,
    show: Callable[[int, int], None] | None = None,
) -> Summary:
    """Write all organizations, or only one, to a file ("-": stdout) while they are in use: the state of one moment.

    An organization whose schema is behind or ahead is left out, unless there is no other; the file says which, and
    `missing` of the summary why. A dry run (`file`) writes nothing.

    Raises Conflict if the file exists or a prune was interrupted, SchemaOutOfDate,
    SchemaTooNew, InvalidInput, FileUnwritable.
    """
    protection = file_secrets.for_export(files.passphrase(secrets.passphrase_file), is_left_out=secrets.are_left_out)
    with db.public_session(engine) as session:
        orgs = organizations.entries(session) if only is None else [organizations.find(session, only)]
    with files.writing(path, file) as stream, consistent(engine, orgs) as snapshot:
        if only is None:
            orgs = organizations.entries(snapshot.public)
        archive = ArchiveWriter(stream)
        writer = Writer(archive, snapshot, Kind.BACKUP, protection)
        faults = {org: fault for org in orgs if (fault := snapshot.fault(org)) is not None}
        if faults and len(faults) == len(orgs):
            raise next(iter(faults.values()))
        chosen = [org for org in orgs if org not in faults]
        writer.manifest(chosen, list(faults))
        writer.summary.missing = {org.name: str(fault) for org, fault in faults.items()}
        writer.shared()
        for number, org in enumerate(chosen, 1):
            writer.organization(org)
            if show is not None:
                show(number, len(chosen))
        archive.close()
        writer.summary.written = archive.written
    return writer.summary


def restore(
    engine: Engine, path: str, only: str | None, secrets: SecretOptions, progress: Progress | None = None
) -> Restored:
    """Restore all organizations into a database without any, or only one, which was deleted there.

    All of it becomes visible at once, or nothing. After it was killed, it can be repeated. Raises Conflict,
    OrganizationNotFound, and what `organization_files.import_` raises.
    """
    with (
        files.reading(path) as stream,
        locks.exclusive(engine, LockSpace.IMPORT, 0, refusal=IMPORT_RUNS),
    ):
        reader = Reader(stream, path, progress)
        protection = _require_readable(reader, secrets)
        unfinished.remove(engine)
        leftovers.finish_deletions(engine)
        leftovers.require_room(engine, reader.manifest, only)
        loader = Loader(engine, protection, _choose(only), UserIds(), path, has_shared=only is None)
        try:
            reader.read_to(loader)
            publication.publish(engine, loader.loaded, loader.users, reader.manifest if only is None else None)
        except BaseException:
            unfinished.remove(engine)
            raise
        return Restored([item.organization.name for item in loader.loaded], loader.summary)


def check_restore(engine: Engine, path: str, only: str | None, secrets: SecretOptions) -> Restored:
    """Return what `restore` would restore: read the file to its end, and change nothing. Raises as `restore`."""
    with files.reading(path) as stream:
        reader = Reader(stream, path)
        _require_readable(reader, secrets)
        leftovers.require_room(engine, reader.manifest, only)
        counter = Counter(only)
        reader.read_to(counter)
        return Restored(counter.names, counter.summary)


def _require_readable(reader: Reader, secrets: SecretOptions) -> FileSecrets:
    """Return what decrypts the secrets of a backup. Raises InvalidInput, PassphraseWrong or KeyWrong."""
    if reader.manifest.kind is not Kind.BACKUP:
        raise errors.InvalidInput(f'{reader.path} has one organization: "dcmon org import" imports it.')
    return read_secrets(reader, secrets)


class Counter(OnlyCheck):
    """Counts what would be restored of a file. `only`: the name of an organization; None: everything."""

    def __init__(self, only: str | None) -> None:
        self.names, self.summary = list[str](), Summary()
        self._only, self._is_chosen = only, only is None

    def begin_organization(self, scope: str, document: OrganizationDocument) -> None:
        """Note the name of an organization that is chosen."""
        self._is_chosen = self._only in (None, document.name)
        self.names += [document.name] if self._is_chosen else []

    def table(self, scope: str, head: TableHead, lines: Iterator[bytes]) -> RowSum | None:
        """Count the rows of a table."""
        rows = sum(part.count(b"\n") for part in lines)
        if self._is_chosen:
            self.summary.add(head, rows)
        return None


def _choose(only: str | None) -> Callable[[OrganizationDocument], Organization | None]:
    def choose(document: OrganizationDocument) -> Organization | None:
        return with_old_id(document) if only in (None, document.name) else None

    return choose
