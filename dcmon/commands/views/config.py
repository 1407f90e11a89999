"""The settings in effect, as rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from dcmon import setting_names, settings
from dcmon.errors import NotFound
from dcmon.settings import OLD_NAMES, Settings

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.setting_names import Variable

MASK = "(secret)"
DEFAULT = "default"


def rows(app: "App", names: Sequence[str] | None, *, only_changed: bool = False) -> list[dict[str, Any]]:
    """Return the settings with their values and origins, in the order of the docs.

    Raises NotFound, with the nearest name, for an unknown one.
    """
    variables = list(setting_names.variables(Settings))
    if names:
        wanted = [_resolve(name, variables) for name in names]
        variables = [variable for variable in variables if variable.name in wanted]
    origins = settings.origins()
    listed = [_row(app.settings, variable, origins) for variable in variables]
    return [row for row in listed if row["origin"] != DEFAULT] if only_changed else listed


def _row(values: Settings, variable: "Variable", origins: Mapping[str, str]) -> dict[str, Any]:
    value = _value(values, variable.path)
    origin = origins.get(variable.name)
    if origin is None and value != variable.field.default:  # a group that is set as JSON need not have each setting
        origin = origins.get(variable.group)
    return {
        "name": variable.name,
        "value": value,
        "origin": origin or DEFAULT,
        "description": variable.field.description,
    }


def _resolve(name: str, variables: "Sequence[Variable]") -> str:
    """Return the variable that a name means: DCMON_HTTP__PORT, an old name, or http.port."""
    typed = name.upper().replace(".", "__").removeprefix(setting_names.PREFIX)
    known = [variable.name for variable in variables]
    new_name = OLD_NAMES.get(setting_names.PREFIX + typed, setting_names.PREFIX + typed)
    if new_name in known:
        return new_name
    meant = setting_names.meant(new_name, known)
    raise NotFound(f'There is no setting {name!r}.{meant} "dcmon config show" lists the settings.')


def _value(values: Settings, path: tuple[str, ...]) -> Any:
    value: Any = values
    for name in path:
        value = getattr(value, name)
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    return str(value) if isinstance(value, Path) else value
