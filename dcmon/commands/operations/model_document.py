"""A model as a document: YAML that `model create --from` reads, and the command that creates the same."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from dcmon import complete_files, durations, errors, file_errors
from dcmon.commands.shared import arguments
from dcmon.formatting import shell_argument
from dcmon.nearest import meant

if TYPE_CHECKING:
    from dcmon.commands.shared.model_options import ModelSettings, TypedModel

MAX_LINE = 78  # characters of a line of a command
COMMAND_SUFFIX = ".sh"


class ModelDocument(msgspec.Struct, forbid_unknown_fields=True):
    """A model and its version. `files` has what files call the fields; "" for a column that is ignored.

    `settings` has the options of settings that are not the default, by their names without dashes before them.
    """

    model: str
    task: str
    version: str
    features: dict[str, str]
    additional: dict[str, str] = {}
    classes: list[str] | None = None
    files: dict[str, str] = {}
    settings: dict[str, str] = {}


def read(typed: "TypedModel") -> "TypedModel":
    """Read the document that `--from` names. Options replace what it says. Raises InvalidInput, NotFound."""
    file = typed.file
    assert file is not None
    try:
        document = msgspec.yaml.decode(Path(file.path).read_bytes(), type=ModelDocument)
    except OSError as error:
        raise file_errors.unreadable(file.path, error) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise errors.InvalidInput(f"{file.path} does not describe a model: {error}") from error
    return replace(
        typed, name=typed.name or document.model, task=typed.task or document.task,
        version=typed.version or document.version, features={**document.features, **typed.features},
        additional={**document.additional, **typed.additional}, classes=typed.classes or document.classes,
        file_fields={**document.files, **typed.file_fields}, settings=_settings(typed.settings, document, file.path),
    )  # fmt: skip


def _settings(typed: "ModelSettings", document: ModelDocument, path: str) -> "ModelSettings":
    """Return the settings of a document, but those that options change. Raises InvalidInput."""
    written = {name: text for name, text in document.settings.items() if name not in _changed_settings(typed)}
    if unknown := written.keys() - _SETTINGS.keys():
        raise errors.InvalidInput(
            f"{path} does not describe a model: it has no setting {min(unknown)!r}.{meant(min(unknown), _SETTINGS)}"
            f" The settings are {', '.join(_SETTINGS)}."
        )
    try:
        values = {name.replace("-", "_"): _SETTINGS[name](text) for name, text in written.items()}
    except ValueError as error:
        raise errors.InvalidInput(f"{path} does not describe a model: {error}") from error
    return replace(typed, **values)


_SETTINGS: Mapping[str, Callable[[str], Any]] = {
    "description": str, "label-ratio": float, "label-delay": durations.parse, "time-zone": str,
    "frequency": arguments.frequency, "defaults": arguments.default_set,
}  # fmt: skip


def write(path: Path, typed: "TypedModel") -> None:
    """Write a model as YAML, or as a command if the file's name ends with .sh. Raises FileUnwritable."""
    text = command(typed) + "\n" if path.suffix == COMMAND_SUFFIX else _yaml(typed)
    try:
        complete_files.write_text(path, text)
    except OSError as error:
        raise file_errors.FileUnwritable(path=path, reason=error.strerror or str(error)) from error


def _yaml(typed: "TypedModel") -> str:
    document: dict[str, Any] = {
        "model": typed.name, "task": typed.task, "version": typed.version, "features": dict(typed.features)
    }  # fmt: skip
    parts = {"additional": dict(typed.additional), "classes": typed.classes, "files": dict(typed.file_fields)}
    parts["settings"] = _changed_settings(typed.settings)
    document |= {name: value for name, value in parts.items() if value}
    return msgspec.yaml.encode(document).decode()


def command(typed: "TypedModel") -> str:
    """Return the command that creates the model, quoted for a shell, in lines that end with a backslash."""
    parts = [f"dcmon model create {shell_argument(typed.name or '')}"]
    options = [("task", typed.task), ("version", typed.version)]
    options += [("feature", f"{name}:{kind}") for name, kind in typed.features.items()]
    options += [("additional", f"{name}:{kind}") for name, kind in typed.additional.items()]
    options += [("class", name) for name in typed.classes or ()]
    options += [("map", f"{column}={name}") for column, name in typed.file_fields.items()]
    options += list(_changed_settings(typed.settings).items())
    parts += [f"--{option} {shell_argument(str(value))}" for option, value in options]
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) + 3 > MAX_LINE:
            lines.append(f"  {part}")
        else:
            lines[-1] += f" {part}"
    return " \\\n".join(lines)


def _changed_settings(settings: "ModelSettings") -> dict[str, str]:
    """Return the options of settings that are not the default."""
    given = {
        "description": settings.description or "",
        "label-ratio": "" if settings.label_ratio == 1 else f"{settings.label_ratio:g}",
        "label-delay": durations.to_text(settings.label_delay),
        "time-zone": settings.time_zone,
        "frequency": settings.frequency.name,
        "defaults": settings.defaults or "",
    }
    usual = {"label-delay": "3d", "time-zone": "UTC", "frequency": "DAY"}
    return {name: value for name, value in given.items() if value and usual.get(name) != value}
