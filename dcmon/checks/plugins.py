"""Users' own checks: classes that installed packages register in the entry point group "dcmon.checks".

Only registered classes are loaded: a name in a request is looked up here, and never imported as a module.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from dcmon.checks.kinds import PLUGIN, REGISTRY, CheckKind
from dcmon.errors import InvalidInput

LOADING_TIMEOUT = 60  # seconds; deepchecks alone takes four


@cache
def registered() -> Mapping[str, EntryPoint]:
    """Return the own checks by name, read once per process. If two packages use a name, the first one wins."""
    found: dict[str, EntryPoint] = {}
    for each in entry_points(group=REGISTRY):
        found.setdefault(each.name, each)
    return found


def registered_as(module_name: str, class_name: str) -> str | None:
    """Return the name under which a class is registered; the SDK names the module that defines the class."""
    if module_name == REGISTRY:
        return class_name
    for name, each in registered().items():
        if each.attr == class_name and (module_name == each.module or module_name.startswith(each.module + ".")):
            return name
    return None


def clear_cache() -> None:
    """Read the installed packages again at the next look-up."""
    registered.cache_clear()
    _description.cache_clear()


def package_name(each: EntryPoint) -> str:
    """Return the package that registers a check, and its version."""
    return f"{each.dist.name} {each.dist.version}" if each.dist else each.module


def find_kind(name: str) -> CheckKind | None:
    """Return the own check of this name; None if none is registered. Raises InvalidInput if it can't be loaded."""
    each = registered().get(name)
    if each is None:
        return None
    nature = _description(name, each.value)
    if why := nature.get("refused"):
        raise InvalidInput(f"The check {name!r} of {package_name(each)} can't be used. {why}")
    return CheckKind(
        class_name=name,
        implementation=each.value,
        group=PLUGIN,
        module=each.module,
        needs_labels=nature["needs_labels"],
        needs_reference=nature["needs_reference"],
        reads_predictions=True,
        choices=tuple(nature["choices"]),
    )


@cache
def _description(name: str, value: str) -> Mapping[str, Any]:
    """Describe a class in a separate process, unless this process has loaded deepchecks already."""
    if "deepchecks" in sys.modules:
        from dcmon.checks import introspection as nature

        return nature.describe(EntryPoint(name, value, REGISTRY))
    asked = [sys.executable, "-P", "-m", "dcmon.checks.introspection", name, value]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=LOADING_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return {"refused": f"It did not load within {LOADING_TIMEOUT} seconds."}
    try:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return {"refused": f"Loading it ended with {done.returncode}: {done.stderr.strip()[-300:]}"}
    return found
