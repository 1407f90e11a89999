"""The sound parts of a document whose keys or types have faults, so that all its other faults are found at once."""

import copy
from collections.abc import Sequence
from typing import Any

Path = Sequence[str | int]
# Objects of lists are replaced, so that the numbers of those after them stay the same.
_RULE = {"condition": "> 0"}
_SILENCE = {"matchers": ["model=-"], "from": "2000-01-01", "until": "2000-01-02"}


def faulty_part(path: Path) -> tuple[str | int, ...]:
    """Return the path of what is left out for a fault: the object, or where other objects depend on it, the section."""
    match tuple(path):
        case ("models", name, "monitors", monitor, "rules", int(number), *_):
            return ("models", name, "monitors", monitor, "rules", number)
        case ("models", name, "monitors", monitor, *_):
            return ("models", name, "monitors", monitor)
        case ("models", name, key, *_):  # a section on which monitors depend, or a setting, which may be left out
            return ("models", name, key)
        case ("receivers" | "mute_times" | "silences" | "models" as section, name, *_):
            return (section, name)
        case (key, *_):
            return (key,)
    return ()


def without(data: Any, parts: Sequence[Path]) -> Any:
    """Return a copy of a document's data without parts of it."""
    sound = copy.deepcopy(data)
    for part in parts:
        _remove(sound, part)
    return sound


def _remove(data: Any, part: Path) -> None:
    *above, last = part
    for step in above:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(data, list) and isinstance(last, int) and last < len(data):
        data[last] = _SILENCE if part[0] == "silences" else _RULE
    elif isinstance(data, dict):
        data.pop(last, None)
