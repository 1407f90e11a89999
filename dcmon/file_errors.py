"""Errors of files and object storages. As in dcmon.errors, the docstring of an error is its message."""

from dcmon.errors import DcmonError, InvalidInput, Locked, Unavailable


class FileRefused(DcmonError):
    """{path} can't be read: {reason}"""

    exit_code, status = 3, 400


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


class DirectoryBeingWritten(Locked):
    """Spark is writing the directory {path}. Repeat the command when it has a file _SUCCESS. If the job has failed,
    delete _temporary, or load the files by a pattern, such as '{path}/**/part-*'."""


class InvalidFiles(InvalidInput):
    """{number:,} fault{s} in the files; nothing was changed.
    {faults}"""

    def __init__(self, *, faults: str, number: int, s: str) -> None:
        """Create the error; `faults`: a line for each fault, with file, line and column."""
        super().__init__(f"{number:,} fault{s} in the files; nothing was changed.\n{faults}")
