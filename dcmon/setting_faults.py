"""What is said of settings whose values can't be used: the name, the value, where it is from, what it must be."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError

from dcmon import durations, setting_names
from dcmon.nearest import listed, meant
from dcmon.setting_names import Variable

DURATION = "a duration like 500ms, 90s, 30m, 12h or 3d, or a number of seconds"
LONGEST_VALUE = 60  # characters that are shown


def sentences(error: ValidationError, model: type[BaseModel], origins: Mapping[str, str]) -> str:
    """Return a sentence for each wrong value. `origins`: where variables that are set have their values from.

    Secrets are not shown, nor are values that are not a single one.
    """
    known = {variable.path: variable for variable in setting_names.variables(model)}
    return " ".join(dict.fromkeys(_sentence(problem, known, origins) for problem in error.errors()))


def not_json(error: Exception, model: type[BaseModel]) -> str:
    """Return a sentence for a variable of a whole group that is not JSON; `error` names the group in quotes."""
    variable = next(
        (name for name in setting_names.groups(model) if f'"{name[6:].lower()}"' in str(error)), "A setting"
    )
    return f'{variable} can\'t be used: it must be a JSON object, like {{"port": 8010}}.'


def not_text(path: Path, error: UnicodeDecodeError) -> str:
    """Return a sentence for a file .env that can't be read as text."""
    return f"{path} is not text in UTF-8: {error}."


def _sentence(problem: Any, known: Mapping[tuple[Any, ...], Variable], origins: Mapping[str, str]) -> str:
    path = tuple(problem["loc"])
    variable = next((known[path[:length]] for length in range(len(path), 0, -1) if path[:length] in known), None)
    name = setting_names.PREFIX + "__".join(map(str, path)).upper() if variable is None else variable.name
    origin = origins.get(name) or (origins.get(variable.group) if variable else None)
    where = f"{name} ({origin})" if origin else name
    if variable is None:
        return f'{where} can\'t be used: it must be a JSON object, like {{"port": 8010}}.'
    if problem["type"] == "value_error":
        return f"{where} can't be used: {problem['msg'].removeprefix('Value error, ')}."
    value = (
        "" if _kind(variable) is SecretStr or not isinstance(problem["input"], str | int | float) else problem["input"]
    )
    shown = f"is {str(value)[:LONGEST_VALUE]!r}" if value != "" else "can't be used"
    words = get_args(_kind(variable)) if get_origin(_kind(variable)) is Literal else ()
    return f"{where} {shown}: it must be {_expected(variable)}.{meant(value, words)}{_example(variable)}"


def _kind(variable: Variable) -> Any:
    """Return the type of a setting: of one that may be None, the other one."""
    kinds = [kind for kind in get_args(variable.field.annotation) if kind is not type(None)]
    is_optional = type(None) in get_args(variable.field.annotation)
    return kinds[0] if is_optional and kinds else variable.field.annotation


def _expected(variable: Variable) -> str:
    kind = _kind(variable)
    if get_origin(kind) is Literal:
        return listed(get_args(kind))
    words = {int: "a whole number", float: "a number", bool: "true or false", timedelta: DURATION}.get(kind, "a text")
    least, most = (_bound(variable, end) for end in ("ge", "le"))
    if least is None and most is None:
        return words
    if least is not None and most is not None:
        return f"{words} from {least} to {most}"
    return f"{words}, at least {least}" if most is None else f"{words}, at most {most}"


def _bound(variable: Variable, end: str) -> str | None:
    metadata: Sequence[Any] = variable.field.metadata
    bound = next((getattr(item, end) for item in metadata if hasattr(item, end)), None)
    return None if bound is None else durations.to_text(bound) if isinstance(bound, timedelta) else str(bound)


def _example(variable: Variable) -> str:
    """Return a sentence with the default as it is typed, if there is one."""
    default = variable.field.default
    if isinstance(default, bool) or default is None or not isinstance(default, int | float | str | timedelta):
        return ""
    text = durations.to_text(default) if isinstance(default, timedelta) else str(default)
    return f" The default is {text}."
