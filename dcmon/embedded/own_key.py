"""The key that encrypts secrets beside an embedded PostgreSQL; `dcmon up` draws it once, if none is there."""

import base64
import os
from importlib.util import find_spec
from pathlib import Path

from dcmon import errors
from dcmon.embedded import private_files
from dcmon.settings import Settings

FILE = "secret.key"


def keys(settings: Settings) -> list[str]:
    """Return the keys of this process, the newest first: those of DCMON_SECRET_KEYS, then that of the data directory.

    The key of the data directory is for its own PostgreSQL only: other machines may use another database too, and don't
    have it. Raises InvalidInput if the file has no key.
    """
    chosen = settings.secret_keys.get_secret_value().split(",") if settings.secret_keys else []
    own = read(settings.data_dir) if settings.database_url is None else None
    return [key.strip() for key in chosen] + ([] if own is None else [own])


def source(settings: Settings) -> str:
    """Return where the keys of this process come from, for errors."""
    return "DCMON_SECRET_KEYS" if settings.secret_keys else f"The key in {settings.data_dir / FILE}"


def read(data_dir: Path) -> str | None:
    """Return the key of a data directory; None if it has none. Raises InvalidInput or DataDirectoryUnusable."""
    path = data_dir / FILE
    try:
        key = path.read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise errors.DataDirectoryUnusable(path=path, reason=f"its key can't be read ({error}).") from error
    if not _is_key(key):
        raise errors.InvalidInput(
            f"{path} has no key: restore it from a backup. If there is none, delete the file, and enter the secrets of"
            ' receivers again with "dcmon receiver set".'
        )
    return key


def create(settings: Settings) -> bool:
    """Draw the key of the data directory, unless it has one; return False if there is no library to encrypt with.

    The caller holds the lock of the data directory. The file is complete as soon as it has its name, also if this
    process is killed. Raises InvalidInput, DiskFull or DataDirectoryUnusable.
    """
    if read(settings.data_dir) is not None:
        return True
    if find_spec("cryptography") is None:
        return False
    path = settings.data_dir / FILE
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with open(unfinished, "x", opener=private_files.opener) as file:
        file.write(base64.urlsafe_b64encode(os.urandom(32)).decode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    return True


def _is_key(text: str) -> bool:
    try:
        return len(base64.urlsafe_b64decode(text)) == 32
    except ValueError:
        return False
