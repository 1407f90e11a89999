"""The settings in effect, as rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import SecretStr

from dcmon import setting_names, settings
from dcmon.errors import InvalidInput, NotFound
from dcmon.output import Page, Table
from dcmon.settings import OLD_NAMES, Settings

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.setting_names import Variable

MASK = "(secret)"
DEFAULT = "default"


class Shown(NamedTuple):
    """Settings as rows, all or those that are named.

    `refusal`: why the settings can't be used; then it is known only where each is set.
    """

    rows: list[dict[str, Any]]
    are_named: bool
    refusal: InvalidInput | None = None

    def result(self, *, with_origin: bool) -> Page:
        """Return the rows as a table, and for programs as a list; the only one that is named as an object."""
        columns = ["name", "value", *(["origin"] if with_origin else [])]
        data = self.rows[0] if self.are_named and len(self.rows) == 1 else self.rows
        return Page(data, [Table(self.rows, columns, empty="All settings have their defaults.", unfolded=["name"])])


def show(app: "App", names: Sequence[str] | None, *, only_changed: bool = False) -> Shown:
    """Return the settings with their values and origins, in the order of the docs.

    Raises NotFound, with the nearest name, for an unknown one. Raises InvalidInput if they can't be used and none is
    named.
    """
    try:
        return Shown(_rows(app.settings, names, only_changed=only_changed), bool(names))
    except InvalidInput as error:
        if not names:
            raise
        listed = [_unusable_row(name, settings.origins()) for name in names]
        return Shown(_chosen(listed, only_changed=only_changed), are_named=True, refusal=error)


def _unusable_row(name: str, origins: Mapping[str, str]) -> dict[str, Any]:
    """Return where a variable is set, which need not be a setting: the mistyped name is what is looked for."""
    variables = {variable.name: variable for variable in setting_names.variables(Settings)}
    known = name.upper() if name.upper() in origins else _resolve(name, list(variables.values()))
    if known not in variables:
        return {"name": known, "value": None, "origin": origins.get(known, DEFAULT), "description": None}
    variable = variables[known]  # its group may be set as JSON; that can't be read to see if the JSON has it
    origin = origins.get(known) or origins.get(variable.group) or DEFAULT
    return {"name": known, "value": None, "origin": origin, "description": variable.field.description}


def _rows(values: Settings, names: Sequence[str] | None, *, only_changed: bool) -> list[dict[str, Any]]:
    variables = list(setting_names.variables(Settings))
    if names:
        wanted = [_resolve(name, variables) for name in names]
        variables = [variable for variable in variables if variable.name in wanted]
    origins = settings.origins()
    return _chosen([_row(values, variable, origins) for variable in variables], only_changed=only_changed)


def _chosen(rows: list[dict[str, Any]], *, only_changed: bool) -> list[dict[str, Any]]:
    return [row for row in rows if row["origin"] != DEFAULT] if only_changed else rows


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
