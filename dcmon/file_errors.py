"""Errors of files and object storages. As in dcmon.errors, the docstring of an error is its message."""

from collections.abc import Sequence
from pathlib import Path

from dcmon.errors import Conflict, DcmonError, InvalidInput, Locked, NotFound, Unavailable


class FileRefused(DcmonError):
    """{path} can't be read: {reason}"""

    exit_code, status = 3, 400


class FileMissing(NotFound):
    """There is no file {path!r}."""


def unreadable(path: object, error: OSError) -> DcmonError:
    """Return what to raise for a file that can't be read: FileMissing, else FileRefused with the system's reason."""
    if isinstance(error, FileNotFoundError):
        return FileMissing(path=str(path))
    return FileRefused(path=path, reason=error.strerror or str(error))


def require_free(path: Path, *, is_replaced: bool) -> None:
    """Check that a file that is written does not exist, or may be replaced. Raises Conflict."""
    if path.is_file() and not is_replaced:
        raise Conflict(f"{path} exists already. Choose another name, or replace it with --replace.")


class FileChanged(Unavailable):
    """{path} changed while it was read. Loaded rows stay stored. Repeat the command when no process writes to it."""


class TooManyRejected(DcmonError):
    """Too many rows can't be stored."""

    exit_code, status = 3, 400


class FileRejected(DcmonError):
    """None of the {rows:,} rows of {path} can be stored, for the reasons above."""

    exit_code, status = 3, 400


class StorageRefused(DcmonError):
    """The object storage at {where} refused: {reason}.
    Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or the profile."""

    exit_code, status = 4, 503


class OwnKeysRefused(DcmonError):
    """The object storage at {where} refused the organization's own keys: {reason}.
    "dcmon source set-keys" replaces them."""

    exit_code, status = 4, 400


class OwnKeysMissing(DcmonError):
    """The organization has no keys of its own, which the object store path of a model needs: those of dcmon's process
    are never used for it. "dcmon source set-keys" sets them, or PUT /api/v1/data-sources."""

    exit_code, status = 4, 400


class OwnKeysLeftOut(DcmonError):
    """The organization's own keys were left out of the file that it was imported from. "dcmon source set-keys" sets
    them again, "dcmon source delete-keys" lets its buckets be read with the keys of the worker."""

    exit_code, status = 4, 400


class DirectoryBeingWritten(Locked):
    """Spark is writing the directory {path}. Repeat the command when it has a file _SUCCESS. If the job has failed,
    delete _temporary, or load the files by a pattern, such as '{path}/**/part-*'."""


class InvalidFiles(InvalidInput):
    """{number:,} fault{s} in the files; nothing was changed.
    {faults}"""

    def __init__(self, *, faults: str, number: int, s: str) -> None:
        """Create the error; `faults`: a line for each fault, with file, line and column."""
        super().__init__(f"{number:,} fault{s} in the files; nothing was changed.\n{faults}")

    @classmethod
    def of(cls, lines: Sequence[str]) -> "InvalidFiles":
        """Return the error with these faults."""
        return cls(faults="\n".join(lines), number=len(lines), s="" if len(lines) == 1 else "s")


class ArchiveUnknown(DcmonError):
    """{path} is no file of dcmon: "dcmon org export" and "dcmon backup create" write such files."""

    exit_code, status = 3, 400


class ArchiveDamaged(DcmonError):
    """{path} is damaged: {reason}. Nothing of it is visible in the database. Copy or create the file again."""

    exit_code, status = 3, 400


class ArchiveTooNew(DcmonError):
    """{path} was written by dcmon {version}, with schema revision {found} of lineage "{lineage}"; this dcmon knows
    revisions up to {known}. Install that version, or a later one."""

    exit_code, status = 3, 400


class ArchiveDiffers(DcmonError):
    """Table {table} differs from the file after it was loaded: {reason}. Nothing of it is visible in the database.
    Repeat the command; if it fails again, report a bug of dcmon."""

    exit_code, status = 3, 500


class PassphraseWrong(DcmonError):
    """The secrets in {path} can't be read with this passphrase. Nothing was imported."""

    exit_code, status = 4, 400


class KeyWrong(DcmonError):
    """The secrets in {path} are encrypted with a key that neither DCMON_SECRET_KEYS nor the data directory has. Nothing
    was imported. Set DCMON_SECRET_KEYS to the key of the installation that wrote the file (secret.key in its data
    directory), or add --without-secrets: receivers come back inactive, without their addresses."""

    exit_code, status = 4, 400


class FileUnwritable(DcmonError):
    """{path} can't be written: {reason}"""

    exit_code, status = 3, 400
