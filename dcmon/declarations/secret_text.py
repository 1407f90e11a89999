"""Texts of files that may hold secrets: they are written as references, and never shown.

`${NAME}` in a text is the value of an environment variable; `$${` is a plain `${`. `{secret_from: env, name: NAME}` and
`{secret_from: file, path: PATH}` are a whole text.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from dcmon import errors, profiles
from dcmon.formatting import listed

REFERENCE = re.compile(r"\$\$\{|\$\{(?P<name>[^}]*)\}")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
OWN_PREFIX = "DCMON_"
MAX_FILE_BYTES = 64 * 1024
HIDDEN = "(secret)"
_private = set[Path]()  # data directories


@dataclass(frozen=True)
class SecretText:
    """A text as a file has it, and its value where that is known here.

    `value`: None where a variable is not set or a file can't be read here; `missing` names it. Two texts are the same
    if their values are, or if one of the values is not known here.
    """

    written: str | Mapping[str, str]
    value: str | None = None
    missing: str | None = None

    @classmethod
    def plain(cls, text: str) -> Self:
        """Return a text without a secret."""
        return cls(text.replace("${", "$${"), text)

    @classmethod
    def reference(cls, name: str, value: str) -> Self:
        """Return a reference to a variable of the environment, with the value that is stored."""
        return cls(f"${{{name}}}", value)

    @property
    def is_secret(self) -> bool:
        """True if the text has a reference."""
        return not isinstance(self.written, str) or any(match["name"] for match in REFERENCE.finditer(self.written))

    @property
    def shown(self) -> str:
        """The text as it may be shown: secrets as references."""
        if isinstance(self.written, str):
            return self.written
        kind = self.written.get("secret_from")
        return f"(from {kind} {self.written.get('name') or self.written.get('path')})"

    def is_same(self, other: "SecretText") -> bool:
        """True unless both values are known and differ."""
        return self.value is None or other.value is None or self.value == other.value

    def resolved(self, environment: Mapping[str, str]) -> "SecretText":
        """Return the text with its value, from an environment and from files."""
        if isinstance(self.written, str):
            missing = [name for name in dict.fromkeys(self._names()) if name not in environment]
            if missing:
                return replace(self, value=None, missing=f"the variable{'s'[: len(missing) - 1]} {listed(missing)}")
            value = REFERENCE.sub(lambda match: environment[match["name"]] if match["name"] else "${", self.written)
            return replace(self, value=value)
        if self.written["secret_from"] == "env":
            name = self.written["name"]
            return replace(self, value=environment.get(name), missing=f"the variable {name}")
        return self._of_file(self.written["path"])

    def _names(self) -> list[str]:
        return [match["name"] for match in REFERENCE.finditer(str(self.written)) if match["name"]]

    def _of_file(self, path: str) -> "SecretText":
        """Return the text of a file. Raises InvalidInput for a file with secrets of dcmon itself."""
        if _is_of_dcmon(path):
            raise errors.InvalidInput(
                f"{{secret_from: file, path: {path}}}: this file may have secrets of dcmon itself, which no receiver"
                " may get. Put the receiver's secret into a file of its own."
            )
        try:
            with Path(path).open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
            if len(content) > MAX_FILE_BYTES:
                return replace(self, missing=f"the file {path}, which has more than {MAX_FILE_BYTES:,} bytes")
            return replace(self, value=content.decode().removesuffix("\n").removesuffix("\r"))
        except (OSError, UnicodeDecodeError, ValueError):
            return replace(self, missing=f"the file {path}")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        serialization = core_schema.plain_serializer_function_ser_schema(lambda text: text.written)
        return core_schema.no_info_plain_validator_function(_validate, serialization=serialization)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {
            "anyOf": [
                {"type": "string"},
                _source_schema("env", "name", "Name of a variable of the environment."),
                _source_schema("file", "path", "Path of a file that has the text alone."),
            ],
            "description": "A text; ${NAME} in it is the value of a variable of the environment.",
        }


def keep_private(data_directory: Path) -> None:
    """Refuse references to files of a data directory from now on."""
    _private.add(data_directory)


def _is_of_dcmon(path: str) -> bool:
    """Return True for files in a data directory, settings and profiles, and the environment of a process."""
    try:
        file = Path(path).resolve()
        files, directories = (Path(".env"), profiles.path()), [directory.resolve() for directory in _private]
        is_environment = file.parts[1:2] == ("proc",) and file.name == "environ"
        return (
            is_environment or file in [known.resolve() for known in files] or any(map(file.is_relative_to, directories))
        )
    except (OSError, ValueError, RuntimeError):  # such a path can't be read, or is one of links in a circle
        return False


def _source_schema(source: str, key: str, description: str) -> dict[str, Any]:
    properties = {"secret_from": {"const": source}, key: {"type": "string", "description": description}}
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _validate(value: Any) -> SecretText:
    if isinstance(value, SecretText):
        return value
    if isinstance(value, str):
        for match in REFERENCE.finditer(value):
            if match["name"] is not None:
                _require_name(match["name"])
        return SecretText(value)
    keys = {"env": "name", "file": "path"}
    if isinstance(value, Mapping) and value.get("secret_from") in keys:
        key = keys[value["secret_from"]]
        if set(value) == {"secret_from", key} and isinstance(value[key], str) and value[key]:
            if key == "name":
                _require_name(value[key])
            return SecretText(dict(value))
    raise _fault(
        "Here is a text, perhaps with ${NAME}, or {secret_from: env, name: NAME}, or {secret_from: file, path: PATH}."
    )


def _require_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise _fault(f"${{{name}}} is not a variable: it looks like ${{NAME}}; $${{ is a plain ${{.")
    if name.upper().startswith(OWN_PREFIX):
        raise _fault(f"{name} is a setting of dcmon, which no receiver may get. Choose another variable.")


def _fault(message: str) -> PydanticCustomError:
    return PydanticCustomError("secret_text", "{message}", {"message": message})


def environment() -> Mapping[str, str]:
    """Return the environment of this process."""
    return os.environ
