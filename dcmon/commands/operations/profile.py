"""Change the profiles of the user's file."""

import copy
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import typer
from pydantic import ValidationError

from dcmon import profiles, setting_faults, setting_names
from dcmon.commands.shared.dry_run_output import would
from dcmon.commands.shared.several import Deletion
from dcmon.errors import Conflict, InvalidInput
from dcmon.formatting import count_of
from dcmon.nearest import meant
from dcmon.profiles import OUTPUT, Profile
from dcmon.settings import Settings
from dcmon.text import require_line

if TYPE_CHECKING:
    from dcmon.output import Output

NONE = "none"
STDIN = "-"


def paths() -> dict[str, tuple[str, ...]]:
    """Return the paths of all settings by their variables."""
    return {variable.name: variable.path for variable in setting_names.variables(Settings)}


def use(output: "Output", name: str, *, dry_run: bool) -> dict[str, Any]:
    """Make a profile the current one, or none. Raises NotFound or InvalidInput."""
    file = profiles.read()
    current = None if name == NONE else file.find(name).name
    if not dry_run:
        profiles.write(current, file.profiles)
    would(output, f"use profile {current!r} by default" if current else "use no profile by default")
    return {"name": current, "previous": file.current, "file": file.path}


def change(output: "Output", name: str, values: Sequence[str], *, dry_run: bool) -> dict[str, Any]:
    """Create a profile or change it, if all its settings can be used. Raises InvalidInput."""
    _require_name(name)
    file = profiles.read()
    changed = copy.deepcopy(dict(file.profiles.get(name, {})))
    for typed in values:
        _put(changed, typed)
    profile = Profile(name, file.path, changed)
    profiles.require_known(profile, paths())
    _require_usable(profile)
    if not dry_run:
        profiles.write(file.current, {**file.profiles, name: changed})
    would(output, f"{'change' if name in file.profiles else 'add'} profile {name!r}")
    return {
        "name": name,
        "created": name not in file.profiles,
        "settings": [".".join(path) for path, _ in profiles.flat(changed)],
        "file": file.path,
    }


def rename(output: "Output", name: str, new_name: str, *, dry_run: bool) -> dict[str, Any]:
    """Rename a profile, also where it is the current one. Raises NotFound, InvalidInput or Conflict."""
    _require_name(new_name)
    file = profiles.read()
    file.find(name)
    if new_name != name and new_name in file.profiles:
        raise Conflict(f"There is a profile {new_name!r} already. Choose another name.")
    if not dry_run:
        profiles.rename(file, name, new_name)
    would(output, f"rename profile {name!r}")
    return {"name": new_name, "old_name": name, "is_current": file.current == name, "file": file.path}


def _require_name(name: str) -> None:
    require_line(name)
    if name == NONE or not name:
        raise InvalidInput(f"A profile can't be called {name!r}.")


def deletion(name: str) -> Deletion:
    """Find a profile and count its settings. Raises NotFound."""
    file = profiles.read()
    count = len(list(profiles.flat(file.find(name).values)))
    row = {"deleted": name, "settings": count, "was_current": file.current == name, "file": file.path}
    return Deletion(name, row, f"profile {name!r} with {count_of(count, 'setting')}", partial(_delete, name))


def _delete(name: str) -> None:
    """Delete a profile; if it is the current one, no profile is then. Raises NotFound."""
    file = profiles.read()
    file.find(name)
    current = None if file.current == name else file.current
    profiles.write(current, {other: values for other, values in file.profiles.items() if other != name})


def _put(values: dict[str, Any], typed: str) -> None:
    """Set one value of NAME=VALUE; an empty one is removed. Raises InvalidInput."""
    name, equals, text = typed.partition("=")
    if not equals or not name:
        raise InvalidInput(f"{typed!r} is not NAME=VALUE, like org=acme or http.port=8010.")
    path = _path(name)
    for part in path[:-1]:
        values = values.setdefault(part, {})
    if not text:
        values.pop(path[-1], None)
    else:
        values[path[-1]] = _read(name) if text == STDIN else text


def _path(name: str) -> tuple[str, ...]:
    """Return where a setting is in a profile: of http.port, or of DCMON_HTTP__PORT. Raises InvalidInput."""
    if name == OUTPUT:
        return (OUTPUT,)
    known = paths()
    variable = setting_names.PREFIX + name.upper().replace(".", "__").removeprefix(setting_names.PREFIX)
    if variable not in known:
        dotted = [".".join(path) for path in known.values()]
        names = list(known) if name.upper().startswith(setting_names.PREFIX) else [*dotted, OUTPUT]
        raise InvalidInput(f'There is no setting {name!r}.{meant(name, names)} "dcmon config show" lists the settings.')
    return known[variable]


def _read(name: str) -> str:
    """Read a secret without its being in the history of a shell."""
    if sys.stdin.isatty():
        return str(typer.prompt(name, hide_input=True, err=True))
    return sys.stdin.readline().rstrip("\n")


def _require_usable(profile: Profile) -> None:
    """Check the values of a profile alone. Raises InvalidInput."""
    try:
        Settings(**profile.settings)
    except ValidationError as error:
        origins = dict.fromkeys(profile.variables, f"profile {profile.name}")
        raise InvalidInput(setting_faults.sentences(error, Settings, origins)) from error
