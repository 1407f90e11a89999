"""Profiles as rows, without secrets."""

from typing import Any

from dcmon import profiles, setting_names, settings
from dcmon.commands.views.config import MASK
from dcmon.output import Page, Table
from dcmon.profiles import Profile
from dcmon.settings import Settings

NO_PROFILE = 'There is no profile. "dcmon profile set NAME org=… http.port=…" creates one.'


def listing() -> Page:
    """List the profiles: which is the current one, and which this command uses. Raises InvalidInput."""
    file, chosen = profiles.read(), settings.chosen_profile()
    rows = [
        {
            "name": name,
            "current": name == file.current,
            "used_by": chosen.reason if chosen is not None and chosen.name == name else None,
            "org": values.get("org"),
            "output": values.get(profiles.OUTPUT),
            "settings": len(list(profiles.flat(values))),
        }
        for name, values in file.profiles.items()
    ]
    table = Table(rows, ["name", "current", "used_by", "org", "output", "settings"], empty=NO_PROFILE)
    return Page(rows, [table], [f"They are in {file.path}."] if rows else [])


def detail(name: str) -> Page:
    """Show the settings of a profile. Raises NotFound."""
    profile = profiles.read().find(name)
    rows = [*_rows(profile)]
    title, empty = f"Profile {profile.name!r}", "The profile has no setting."
    table = Table(rows, ["name", "value", "variable"], title=title, empty=empty)
    return Page([{"profile": profile.name, **row} for row in rows], [table])


def _rows(profile: Profile) -> list[dict[str, Any]]:
    variables = {variable.path: variable for variable in setting_names.variables(Settings)}
    rows = []
    for path, value in profiles.flat(profile.values):
        variable = variables.get(path)
        is_secret = variable is not None and "SecretStr" in str(variable.field.annotation)
        rows.append(
            {
                "name": ".".join(path),
                "value": MASK if is_secret else value,
                "variable": None if variable is None else variable.name,
            }
        )
    return rows
