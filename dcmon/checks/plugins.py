"""Users' own checks: classes that installed packages register in the entry point group "dcmon.checks".

Only registered classes are loaded: a name in a request is looked up here, and is never imported as a module.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any

from dcmon import user_code
from dcmon.checks.kinds import PLUGIN, REGISTRY, CheckKind, OwnCheckDescription
from dcmon.errors import DeepchecksMissing, InvalidInput, LibraryMissing

LOADING_TIMEOUT = 60  # seconds; loading deepchecks alone takes four


@cache
def registered() -> Mapping[str, EntryPoint]:
    """Return the registered checks by name, which are read once per process.

    If two packages use the same name, the first package wins.
    """
    by_name: dict[str, EntryPoint] = {}
    for entry_point in entry_points(group=REGISTRY):
        by_name.setdefault(entry_point.name, entry_point)
    return by_name


def registered_as(module_name: str, class_name: str) -> str | None:
    """Return the name under which a class is registered; None if it is not registered.

    `module_name`: the SDK sends the module that defines the class, which may lie below the registered module.
    """
    if module_name == REGISTRY:
        return class_name
    for name, entry_point in registered().items():
        is_same_module = module_name == entry_point.module or module_name.startswith(entry_point.module + ".")
        if entry_point.attr == class_name and is_same_module:
            return name
    return None


def clear_cache() -> None:
    """Read the installed packages again at the next look-up."""
    registered.cache_clear()
    _description.cache_clear()


def package_name(entry_point: EntryPoint) -> str:
    """Return the name and the version of the package that registers a check."""
    package = entry_point.dist
    return f"{package.name} {package.version}" if package else entry_point.module


def has_library() -> bool:
    """Return True if deepchecks is installed here."""
    try:
        return find_spec("deepchecks") is not None
    except ValueError:  # a module of that name was loaded, and has no specification
        return False


def require_library() -> None:
    """Raise LibraryMissing if deepchecks is not installed here."""
    if not has_library():
        raise LibraryMissing


def find_kind(name: str) -> CheckKind | None:
    """Return the user's check of this name; None if it is not registered.

    Raises DeepchecksMissing without the library that all such checks derive from, InvalidInput if the check can't be
    loaded.
    """
    entry_point = registered().get(name)
    if entry_point is None:
        return None
    if not has_library():
        raise DeepchecksMissing(check=name, package=package_name(entry_point))
    description = _description(name, entry_point.value)
    if description.refused:
        package = package_name(entry_point)
        raise InvalidInput(f"The check {name!r} of {package} can't be used. {description.refused}")
    return CheckKind(
        class_name=name,
        implementation=entry_point.value,
        group=PLUGIN,
        module=entry_point.module,
        needs_labels=description.needs_labels,
        needs_reference=description.needs_reference,
        reads_predictions=True,
        choices=tuple(description.choices),
    )


def parameters(kind: CheckKind) -> Mapping[str, Any]:
    """Return the parameters of a user's check with their defaults, without those that dcmon sets itself."""
    return _description(kind.class_name, kind.implementation).parameters


@cache
def _description(name: str, value: str) -> OwnCheckDescription:
    """Describe a class in a separate process, unless this process has loaded deepchecks already."""
    if "deepchecks" in sys.modules:
        from dcmon.checks.library import introspection

        return introspection.describe(EntryPoint(name, value, REGISTRY))
    command = [sys.executable, "-P", "-m", "dcmon.checks.library.introspection", name, value, *user_code.arguments()]
    try:
        process = subprocess.run(
            command, env=user_code.environment(), capture_output=True, text=True, timeout=LOADING_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return OwnCheckDescription(f"The check did not load within {LOADING_TIMEOUT} seconds.")
    try:
        return OwnCheckDescription(**json.loads(process.stdout.splitlines()[-1]))
    except (IndexError, ValueError):
        reason = process.stderr.strip()[-300:]
        return OwnCheckDescription(f"Loading the check ended with exit status {process.returncode}: {reason}")
