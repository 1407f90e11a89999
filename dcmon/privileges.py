"""Step down from root: endpoint, workers, embedded servers, checks and command receivers run as another user.

`dcmon up` itself stays root, so that it can start processes again that need a port below 1024 or a key. It owns the
data directory, reads nothing from the network, and writes to no directory of the other user.
"""

import ctypes
import logging
import os
import pwd
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcmon import errors

log = logging.getLogger(__name__)
ROOT = "root"
DEFAULT_USERS = ("dcmon", "postgres", "nobody")
UNNAMED_USER = 65534  # where no user is known by name, as in an image without /etc/passwd
_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG = 1, 2
_NEW_MOUNTS, _BIND, _RECURSIVE, _PRIVATE, _DETACH = 0x20000, 0x1000, 0x4000, 1 << 18, 2


@dataclass(frozen=True)
class Account:
    """A user that processes run as, with its groups and home directory."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str
    home: str

    @property
    def credentials(self) -> dict[str, Any]:
        """The arguments with which subprocess starts a program as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": list(self.groups)}

    def may_enter(self, directory: Path) -> bool:
        """Return True if the user may pass through a directory."""
        status = directory.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & 0o100)
        return bool(status.st_mode & (0o010 if status.st_gid in (self.gid, *self.groups) else 0o001))


def account(run_as: str | None) -> Account | None:
    """Return the user to step down to; None if this process is not root, or DCMON_RUN_AS is root.

    `run_as`: the setting, a name or a number; None: the first of DEFAULT_USERS that exists. Raises InvalidInput.
    """
    if os.geteuid() != 0 or run_as == ROOT:
        return None
    for name in (run_as,) if run_as is not None else DEFAULT_USERS:
        try:
            user = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
        except KeyError:
            continue
        groups = tuple(os.getgrouplist(user.pw_name, user.pw_gid))
        return Account(user.pw_uid, user.pw_gid, groups, user.pw_name, user.pw_dir)
    if run_as is not None and not run_as.isdigit():
        raise errors.InvalidInput(f"DCMON_RUN_AS names user {run_as!r}, who does not exist on this machine.")
    number = UNNAMED_USER if run_as is None else int(run_as)
    return Account(number, number, (), str(number), "/")


def step_down(run_as: str | None) -> Account | None:
    """Become an unprivileged user if this process is root; return the user, or None if nothing was changed.

    Call it before threads are started. If the user can't read Python or dcmon, for example below /root, the process
    gets its own view of the file system, in which the user can. Where that is not possible, the process stays root with
    a warning. Raises InvalidInput if DCMON_RUN_AS names a user who can't read dcmon.
    """
    user = account(run_as)
    if user is None:
        return None
    if not _make_readable(user):
        text = f"user {user.name} can't read Python and dcmon in {sys.prefix}"
        if run_as is not None:
            raise errors.InvalidInput(f"DCMON_RUN_AS can't be used: {text}. Install dcmon where all users can read it.")
        log.warning("This process runs as root, because %s. Install dcmon where all users can read it.", text)
        return None
    death_signal = _death_signal()
    os.setgroups(user.groups)
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    if death_signal:  # a change of user cancels it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal)
    os.environ.update(HOME=user.home, USER=user.name, LOGNAME=user.name)
    if not os.access(".", os.X_OK):
        os.chdir("/")
    return user


def _death_signal() -> int:
    """Return the signal that this process gets when its parent ends; 0: none."""
    number = ctypes.c_int(0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_GET_PDEATHSIG, ctypes.byref(number))
    return number.value


def _make_readable(user: Account) -> bool:
    """Make Python and dcmon readable for a user; return False if that is not possible."""
    needed = _needed_directories()
    closed = {path: directory for path in needed if (directory := _closed_directory(path, user)) is not None}
    if not closed:
        return True
    if sys.platform != "linux" or any(not user.may_enter(path.resolve()) for path in needed):
        return False
    umask = os.umask(0o022)  # of the directories on the way
    try:
        _mount_openly(closed)
    except OSError:
        return False
    finally:
        os.umask(umask)
    return all(_closed_directory(path, user) is None for path in needed)


def _needed_directories() -> list[Path]:
    """Return the directories of Python, its packages and dcmon; none is inside another one."""
    directories = {sys.prefix, sys.base_prefix, str(Path(__file__).parent.parent), *sys.path}
    paths = sorted({Path(name) for name in directories - {"", os.getcwd()} if Path(name).is_dir()})
    return [path for path in paths if not any(other in path.parents for other in paths)]


def _closed_directory(path: Path, user: Account) -> Path | None:
    """Return the topmost directory on the way to a path that a user can't pass through."""
    resolved = path.resolve()
    return next((way for way in reversed((resolved, *resolved.parents)) if not user.may_enter(way)), None)


def _mount_openly(closed: dict[Path, Path]) -> None:
    """Cover closed directories, for this process and its children alone, so that only what is needed is in them.

    Raises OSError, for example in a container without the right to mount.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(_NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    _mount(None, "/", None, _RECURSIVE | _PRIVATE)  # what is mounted here stays in this process
    targets = {path: (path.resolve(), os.open(path, os.O_PATH)) for path in closed}
    covered = []
    try:
        for directory in _outermost(closed.values()):
            _mount("tmpfs", str(directory), "tmpfs", 0, "mode=0755")
            covered.append(directory)
        for path, (resolved, descriptor) in targets.items():
            resolved.mkdir(mode=0o755, parents=True, exist_ok=True)
            _mount(f"/proc/self/fd/{descriptor}", str(resolved), None, _BIND | _RECURSIVE)
            if not path.exists():  # a link on the way to it is covered
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(resolved)
    except OSError:
        for directory in covered:
            library.umount2(str(directory).encode(), _DETACH)
        raise
    finally:
        for _, descriptor in targets.values():
            os.close(descriptor)


def _outermost(directories: Iterable[Path]) -> list[Path]:
    unique = sorted(set(directories))
    return [path for path in unique if not any(other in path.parents for other in unique)]


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [None if word is None else word.encode() for word in (source, target, kind)]
    call = ctypes.CDLL(None, use_errno=True).mount
    if call(*encoded, ctypes.c_ulong(flags), None if data is None else data.encode()):
        raise OSError(ctypes.get_errno(), f"mount {target}")
