"""Export an organization to a file, and import it under another id, also into another database."""

from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Engine, text

from dcmon import db, errors
from dcmon.db import Organization, locks
from dcmon.db.locks import LockSpace
from dcmon.tenancy import organizations
from dcmon.transfer import file_secrets, files, publication, unfinished
from dcmon.transfer.archive import ArchiveWriter
from dcmon.transfer.contents import Kind, OrganizationDocument
from dcmon.transfer.file_secrets import FileSecrets
from dcmon.transfer.files import NEW_FILE
from dcmon.transfer.files import STANDARD as STANDARD
from dcmon.transfer.files import FileOptions as FileOptions
from dcmon.transfer.loader import Loader
from dcmon.transfer.preview import Counter, Preview
from dcmon.transfer.reader import Progress, Reader
from dcmon.transfer.snapshot import consistent
from dcmon.transfer.untrusted import Finder, Inactive
from dcmon.transfer.user_ids import UserIds
from dcmon.transfer.writer import Summary as Summary
from dcmon.transfer.writer import Writer

IMPORT_RUNS = "Another import or restore runs in this database. Repeat the command when it has ended."


@dataclass(frozen=True)
class SecretOptions:
    """What an operator said about secrets. `passphrase_file`: a file with the passphrase in its first line."""

    passphrase_file: str | None = None
    are_left_out: bool = False


@dataclass(frozen=True)
class Imported:
    """An organization that was imported. `tokens_left_out`: those that another organization has already.

    `inactive`: what would run commands or read files of this server, and was left inactive.
    """

    name: str
    summary: Summary
    tokens_left_out: int = 0
    inactive: Inactive = field(default_factory=Inactive)


class Checked(NamedTuple):
    """A file that was read to its end. `inactive`: what an import would leave inactive."""

    kind: Kind
    summary: Summary
    inactive: Inactive


def export(
    engine: Engine, org: Organization, path: str, secrets: SecretOptions, file: FileOptions = NEW_FILE
) -> Summary:
    """Write an organization to a file ("-": stdout) while it is in use: a state of one moment.

    A dry run (`file`) reads all of it, and writes nothing.

    Raises Conflict if the file exists, messages are parked or a prune was interrupted, InvalidInput, FileUnwritable.
    """
    protection = file_secrets.for_export(files.passphrase(secrets.passphrase_file), is_left_out=secrets.are_left_out)
    with files.writing(path, file) as stream, consistent(engine, [org]) as snapshot:
        archive = ArchiveWriter(stream)
        writer = Writer(archive, snapshot, Kind.ORGANIZATION, protection)
        writer.manifest([org])
        writer.organization(org)
        archive.close()
        writer.summary.written = archive.written
    return writer.summary


def import_(
    engine: Engine,
    path: str,
    name: str | None,
    secrets: SecretOptions,
    progress: Progress | None = None,
    *,
    is_trusted: bool = False,
) -> Imported:
    """Load an organization from a file ("-": stdin) under a new id, and then make it visible. `name`: another name.

    `is_trusted`: its command receivers and sources stay active (transfer.untrusted).

    If it fails or is killed, no organization is visible; the next import removes what is left. Raises Conflict if the
    name is taken, ArchiveDamaged, ArchiveDiffers, ArchiveTooNew, ArchiveUnknown, PassphraseWrong, KeyWrong,
    SecretUnreadable, Locked or InvalidInput.
    """
    with (
        files.reading(path) as stream,
        locks.exclusive(engine, LockSpace.IMPORT, 0, refusal=IMPORT_RUNS),
    ):
        reader = Reader(stream, path, progress)
        _require_kind(reader, path)
        protection = read_secrets(reader, secrets)
        chosen = name or next(iter(reader.manifest.organizations.values()))
        unfinished.remove(engine)
        _require_free(engine, chosen)
        loader = Loader(
            engine, protection, lambda document: _with_new_id(engine, chosen), UserIds(), path, is_trusted=is_trusted
        )
        try:
            summary = reader.read_to(loader)
            skipped = publication.publish(engine, loader.loaded, loader.users)
        except BaseException:
            unfinished.remove(engine)
            raise
        return Imported(chosen, summary, skipped, loader.inactive)


def preview(engine: Engine, path: str, name: str | None, secrets: SecretOptions) -> Preview:
    """Check what an import would check, and count what it would store. Raises what `import_` raises; stores nothing."""
    with files.reading(path) as stream:
        reader = Reader(stream, path)
        _require_kind(reader, path)
        read_secrets(reader, secrets)
        chosen = name or next(iter(reader.manifest.organizations.values()))
        _require_free(engine, chosen)
        counter = Counter()
        return counter.preview(engine, chosen, reader.read_to(counter))


def check(path: str, progress: Progress | None = None) -> Checked:
    """Read a file to its end and compare its checksums, without a database. Raises what `import_` raises for it."""
    with files.reading(path) as stream:
        reader = Reader(stream, path, progress)
        finder = Finder()
        return Checked(reader.manifest.kind, reader.read_to(finder), finder.found)


def read_secrets(reader: Reader, secrets: SecretOptions) -> FileSecrets:
    """Return what decrypts the secrets of a file. Raises InvalidInput, PassphraseWrong or KeyWrong."""
    passphrase = files.passphrase(secrets.passphrase_file)
    with reader.compared():
        return file_secrets.for_import(
            reader.manifest.secrets, passphrase, reader.path, is_left_out=secrets.are_left_out
        )


def _require_kind(reader: Reader, path: str) -> None:
    if reader.manifest.kind is not Kind.ORGANIZATION:
        raise errors.InvalidInput(
            f'{path} is a backup: "dcmon backup restore" restores all or one of its organizations.'
        )


def _require_free(engine: Engine, name: str) -> None:
    organizations.require_name(name)
    with db.public_session(engine) as session:
        organizations.require_free_name(session, name)


def _with_new_id(engine: Engine, name: str) -> Organization:
    with db.public_session(engine) as session:
        org_id = session.execute(text("select nextval('organizations_id_seq')")).scalar_one()
    return Organization(org_id, name, f"org_{org_id}")


def with_old_id(document: OrganizationDocument) -> Organization:
    """Return an organization as it was when it was written."""
    return Organization(document.id, document.name, f"org_{document.id}")
