"""Back up all organizations to one file, and restore all of them, or one, with their ids and positions in Kafka."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine, text

from dcmon import db, errors
from dcmon.db import Organization, locks
from dcmon.db.locks import LockSpace
from dcmon.tenancy import organizations
from dcmon.transfer import file_secrets, files, publication, unfinished
from dcmon.transfer.archive import ArchiveWriter
from dcmon.transfer.contents import Kind, OrganizationDocument
from dcmon.transfer.loader import Loader
from dcmon.transfer.organization_files import IMPORT_RUNS, SecretOptions, with_old_id
from dcmon.transfer.reader import Progress, Reader
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
    is_replaced: bool = False,
    show: Callable[[int, int], None] | None = None,
) -> Summary:
    """Write all organizations, or only one, to a file ("-": stdout) while they are in use: the state of one moment.

    An organization whose schema is behind or ahead is left out, unless there is no other; the file says which, and
    `missing` of the summary why. Raises Conflict if the file exists or a prune was interrupted, SchemaOutOfDate,
    SchemaTooNew, InvalidInput, FileUnwritable.
    """
    protection = file_secrets.for_export(files.passphrase(secrets.passphrase_file), is_left_out=secrets.are_left_out)
    with db.public_session(engine) as session:
        orgs = organizations.entries(session) if only is None else [organizations.find(session, only)]
    with files.writing(path, is_replaced=is_replaced) as stream, consistent(engine, orgs) as snapshot:
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
    return writer.summary


def restore(
    engine: Engine, path: str, only: str | None, secrets: SecretOptions, progress: Progress | None = None
) -> Restored:
    """Restore all organizations into a database without any, or only one, which must not exist, into any database.

    All of it becomes visible at once, or nothing. After it was killed, it can be repeated. Raises Conflict,
    OrganizationNotFound, and what `organization_files.import_` raises.
    """
    with (
        files.reading(path) as stream,
        locks.exclusive(engine, LockSpace.IMPORT, 0, refusal=IMPORT_RUNS),
    ):
        reader = Reader(stream, path, progress)
        if reader.manifest.kind is not Kind.BACKUP:
            raise errors.InvalidInput(f'{path} has one organization: "dcmon org import" imports it.')
        passphrase = files.passphrase(secrets.passphrase_file)
        with reader.compared():
            protection = file_secrets.for_import(reader.manifest.secrets, passphrase, path)
        unfinished.remove(engine)
        _require_room(engine, reader, only)
        loader = Loader(engine, protection, _choose(only), UserIds(), path, has_shared=only is None)
        try:
            summary = reader.read_to(loader)
            publication.publish(engine, loader.loaded, loader.users, reader.manifest if only is None else None)
        except BaseException:
            unfinished.remove(engine)
            raise
        return Restored([item.organization.name for item in loader.loaded], summary)


def _choose(only: str | None) -> Callable[[OrganizationDocument], Organization | None]:
    def choose(document: OrganizationDocument) -> Organization | None:
        return with_old_id(document) if only in (None, document.name) else None

    return choose


def _require_room(engine: Engine, reader: Reader, only: str | None) -> None:
    with db.public_session(engine) as session:
        existing = organizations.entries(session)
        newest_id = organizations.newest_id(session)
        deleted = session.scalars(text("select name from audit_log where kind = 'organization' and action = 'delete'"))
        deleted_names = set(deleted)
    if only is None:
        if existing:
            raise errors.Conflict(
                f"The database has {len(existing)} organizations already. A backup is restored into an empty database;"
                " --org NAME restores one organization that was deleted here."
            )
        return
    ids = {name: int(org_id) for org_id, name in reader.manifest.organizations.items()}
    if only not in ids:
        raise errors.OrganizationNotFound(name=only, known=ids)
    if only in {org.name for org in existing} or ids[only] in {org.id for org in existing}:
        raise errors.Conflict(
            f'Organization {only!r}, or another one with its id {ids[only]}, exists. Delete it first ("dcmon org delete'
            f' {only}"), and then repeat the command.'
        )
    if only not in deleted_names or ids[only] > newest_id:
        raise errors.Conflict(
            f"Organization {only!r} was never deleted here, so the backup is of another installation: its id could"
            " belong to messages in Kafka that are for another organization. Restore the backup into an empty"
            ' database, and move the organization from there with "dcmon org export" and "dcmon org import".'
        )
