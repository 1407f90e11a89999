"""Profiles: named sets of settings in one file of the user, below the environment and .env.

    current = "prod"

    [profiles.prod]
    org = "acme"
    output = "wide"
    http = {port = 8010}
    database_url = "postgresql://dcmon:…@db/dcmon"

`current` is used where neither --profile nor DCMON_PROFILE names another one; DCMON_PROFILE= (empty) means none.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from dcmon import complete_files, setting_names
from dcmon.data_formats import Format
from dcmon.errors import DcmonError, InvalidInput, NotFound
from dcmon.nearest import meant

VARIABLE = "DCMON_PROFILE"
OUTPUT = "output"  # the only key of a profile that is no setting: the format of results
_typed: str | None = None  # the profile of --profile


@dataclass(frozen=True)
class Profile:
    """A profile. `values` are nested as in the file; `reason`: what chose it."""

    name: str
    path: Path
    values: Mapping[str, Any]
    reason: str = ""

    @property
    def variables(self) -> dict[str, str]:
        """Return the values by the names of their variables, like DCMON_HTTP__PORT, without the output format."""
        return {setting_names.PREFIX + "__".join(path).upper(): text for path, text in flat(self.settings)}

    @property
    def settings(self) -> dict[str, Any]:
        """Return the values that are settings."""
        return {name: value for name, value in self.values.items() if name != OUTPUT}


@dataclass(frozen=True)
class ProfileFile:
    """The file of the profiles. `current`: the one that is used by default."""

    path: Path
    current: str | None
    profiles: Mapping[str, Mapping[str, Any]]

    def find(self, name: str, reason: str = "") -> Profile:
        """Return a profile. Raises NotFound with the nearest name."""
        if name not in self.profiles:
            raise NotFound(
                f'There is no profile {name!r} in {self.path}.{meant(name, self.profiles)} "dcmon profile list" lists'
                " the profiles."
            )
        return Profile(name, self.path, self.profiles[name], reason)


def path() -> Path:
    """Return the path of the file, which need not exist: ~/.config/dcmon/config.toml, or below XDG_CONFIG_HOME."""
    return user_config_path("dcmon") / "config.toml"


def choose(name: str | None) -> None:
    """Set the profile of this process to that of --profile; None: that of DCMON_PROFILE or of the file."""
    global _typed
    _typed = name


def chosen(variables: Mapping[str, str | None]) -> Profile | None:
    """Return the profile that is used, None without one. `variables`: those that may name it.

    Raises NotFound, or InvalidInput if the file can't be used.
    """
    named = variables.get(VARIABLE)
    if _typed is None and named == "":
        return None
    if _typed is not None or named:
        return read().find(_typed or named or "", "--profile" if _typed is not None else VARIABLE)
    file = read()
    return None if file.current is None else file.find(file.current, "current")


def read() -> ProfileFile:
    """Read the file; without one there are no profiles. Raises InvalidInput if it is wrong or others can read it."""
    file = path()
    try:
        status = file.stat()
        content = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return ProfileFile(file, None, {})
    except OSError as error:
        raise InvalidInput(f"{file} can't be read: {error.strerror}.") from error
    if status.st_mode & 0o077:
        raise InvalidInput(f"Other users may read {file}, which can have passwords. Type: chmod 600 {file}")
    try:
        document = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} is not TOML: {error}.") from error
    current, profiles = document.pop("current", None), document.pop("profiles", {})
    if document or not isinstance(profiles, dict) or not all(isinstance(value, dict) for value in profiles.values()):
        key = next(iter(document), "profiles")
        raise InvalidInput(f'{file}: {key!r} can\'t be here. The file has current = "NAME" and [profiles.NAME].')
    if current is not None and current not in profiles:
        raise InvalidInput(f"{file}: the current profile {current!r} is missing.{meant(current, profiles)}")
    return ProfileFile(file, current, profiles)


def rename(file: ProfileFile, name: str, new_name: str) -> None:
    """Rename a profile in its place in the file, also where it is the current one. Raises DcmonError."""
    renamed = {new_name if other == name else other: values for other, values in file.profiles.items()}
    write(new_name if file.current == name else file.current, renamed, {name: new_name})


def write(
    current: str | None, profiles: Mapping[str, Mapping[str, Any]], new_names: Mapping[str, str] | None = None
) -> None:
    """Replace the file in one step, readable for its owner only, with its comments. Raises DcmonError.

    `new_names`: of profiles that are renamed, by their old ones.
    """
    file = path()
    wanted: dict[str, Any] = {} if current is None else {"current": current}
    wanted |= {"profiles": profiles} if profiles else {}
    content = _edited(file, wanted, new_names or {})
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with complete_files.writing(file, complete_files.PRIVATE) as target:
            target.write(content.encode())
    except OSError as error:
        raise DcmonError(f"{file} can't be written: {error.strerror}.") from error


def _edited(file: Path, wanted: Mapping[str, Any], new_names: Mapping[str, str]) -> str:
    """Return the file's text with other values, and all else as it is; without comments where that is not possible."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        if "current" in wanted and "current" not in tomllib.loads(text):
            text = f'current = ""\n\n{text}'  # above the comment of the first profile
        for old, new in new_names.items():  # where they are, so that each comment stays beside its profile
            text = _with_new_headers(text, old, tomlkit.key(new).as_string())
        document = tomlkit.parse(text)
        _edit(document, wanted)
        content = tomlkit.dumps(document)
        if tomllib.loads(content) == wanted:
            return content
    except (OSError, ValueError, KeyError, TypeError, TOMLKitError):
        pass
    return tomlkit.dumps(wanted)


def _with_new_headers(text: str, old: str, new: str) -> str:
    """Return the text of a file with another key in the headers of a profile, as in [profiles.KEY.http]."""
    keys = "|".join(re.escape(form) for form in (old, f'"{old}"', f"'{old}'"))
    header = re.compile(rf"^(\s*\[\s*profiles\s*\.\s*)(?:{keys})(?=\s*[.\]])", re.MULTILINE)
    return header.sub(lambda match: f"{match[1]}{new}", text)


def _edit(table: Any, wanted: Mapping[str, Any]) -> None:
    """Set, change and remove the values of a table; those that are as wanted are left as they are written."""
    for name in [name for name in table if name not in wanted]:
        del table[name]
    for name, value in wanted.items():
        if isinstance(value, Mapping) and isinstance(table.get(name), Mapping):
            _edit(table[name], value)
        elif name not in table or table[name] != value:
            table[name] = value


def flat(values: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the values of nested tables with their paths, like ("http", "port")."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, (*prefix, name))
        else:
            yield (*prefix, name), value


def require_known(profile: Profile, known: Mapping[str, tuple[str, ...]]) -> None:
    """Check the names in a profile; `known`: the paths of settings by their variables.

    Raises InvalidInput with the nearest name, also for an unknown output format.
    """
    names = [".".join(path) for path in known.values()] + [OUTPUT]
    sentences = [
        f"{typed!r} in profile {profile.name!r} of {profile.path} is no setting.{meant(typed, names)}"
        for typed in (".".join(path) for path, _ in flat(profile.values))
        if typed not in names
    ]
    if sentences:
        raise InvalidInput(f'{" ".join(sentences)} "dcmon config show" lists the settings.')
    output_format(profile)


def output_format(profile: Profile | None) -> Format | None:
    """Return the format of results that a profile sets; None if it sets none. Raises InvalidInput."""
    typed = None if profile is None else profile.values.get(OUTPUT)
    if typed is None:
        return None
    if typed not in tuple(Format):
        where = f"in profile {profile.name!r}" if profile else ""
        raise InvalidInput(f"output {where} is not one of {', '.join(Format)}: {typed!r}.{meant(typed, tuple(Format))}")
    return Format(typed)
