"""What code of users, such as own checks, gets from dcmon: an environment without secrets, and no rights of root.

The environment has variables that programs need to run, and those that an operator names. What else is in dcmon's own
environment, such as passwords of its settings, of PostgreSQL or of object stores, stays there.
"""

import ctypes
import os
import sys
from collections.abc import Iterable

from dcmon import privileges

INHERITED = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "XDG_CACHE_HOME", "MPLCONFIGDIR", "NUMBA_CACHE_DIR",
    "CUDA_VISIBLE_DEVICES",
})  # fmt: skip
INHERITED_PREFIXES = ("LC_", "PYTHON", "OMP_", "OPENBLAS_", "MKL_")
_PR_SET_DUMPABLE = 4
_run_as: str | None = None
_variables: frozenset[str] = frozenset()


def use(run_as: str | None, variables: Iterable[str]) -> None:
    """Set the user of users' code (DCMON_RUN_AS) in this process, and further variables that this code gets."""
    global _run_as, _variables
    _run_as, _variables = run_as, frozenset(variables)


def environment() -> dict[str, str]:
    """Return the environment of a process that runs users' code."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in INHERITED or name.startswith(INHERITED_PREFIXES) or name in _variables
    }


def arguments() -> list[str]:
    """Return the last arguments of such a process, which `enter` reads there."""
    return [] if _run_as is None else [_run_as]


def enter(arguments: list[str]) -> None:
    """Become an unprivileged user, if root started this process, before users' code is loaded. Raises InvalidInput."""
    privileges.step_down(arguments[0] if arguments else None)


def hide_own_environment() -> None:
    """Keep other processes of the same user from reading the environment and the memory of this process.

    It holds until another program is executed; children that are forked inherit it.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)
