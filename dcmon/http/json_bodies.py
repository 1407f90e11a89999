"""Decode JSON bodies, with bounds on their depth, their lists and their texts."""

from codecs import BOM_UTF8
from typing import Any

import msgspec

from dcmon import errors, text

MAX_DEPTH = 32
MAX_ITEMS = 20_000  # of a list or an object: a version with 10,000 columns, for example
MAX_VALUES = 100_000  # in the whole body
MAX_CHARACTERS = 100_000  # of a text or a name
# Fields of a body, or of the objects in a list, that people choose. Fields of objects deeper inside are data.
LINES = frozenset(
    {"name", "title", "full_name", "user_full_name", "new_organization_name", "email", "time_zone", "kind", "code"}
)
PROSE = frozenset({"description", "note", "notes", "text", "reason", "message"})


def decode(body: bytes) -> Any:
    """Decode a JSON body. Raises MalformedBody, UnusableText, or UnstorableText if a text has a NUL character."""
    try:
        decoded = msgspec.json.decode(body.removeprefix(BOM_UTF8))
    except RecursionError as error:
        raise errors.MalformedBody(reason=f"it is nested more than {MAX_DEPTH} levels deep") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise errors.MalformedBody(reason=f"it is not JSON: {error}") from error
    _require_bounds(decoded)
    for item in decoded if isinstance(decoded, list) else [decoded]:
        _require_chosen_texts(item)
    return decoded


def _require_chosen_texts(item: Any) -> None:
    """Check the names and notes of an object, and of the notes in it."""
    if not isinstance(item, dict):
        return
    for key, value in item.items():
        if isinstance(value, str) and key in LINES:
            text.require_line(value)
        elif isinstance(value, str) and key in PROSE:
            text.require_prose(value)
        elif isinstance(value, list) and key == "notes":
            for note in value:
                _require_chosen_texts(note)


def _require_bounds(decoded: Any) -> None:
    """Check values level by level, so that no recursion is needed."""
    level, value_count = [decoded], 0
    for _ in range(MAX_DEPTH):
        level = _next_level(level)
        if not level:
            return
        value_count += len(level)
        if value_count > MAX_VALUES:
            raise errors.MalformedBody(reason=f"it has more than {MAX_VALUES:,} values")
    raise errors.MalformedBody(reason=f"it is nested more than {MAX_DEPTH} levels deep")


def _next_level(level: list[Any]) -> list[Any]:
    """Check the texts of a level, and return the items of its lists and the keys and values of its objects."""
    items = list[Any]()
    for value in level:
        if isinstance(value, str):
            _require_text(value)
        elif isinstance(value, list | dict) and value:
            if len(value) > MAX_ITEMS:
                raise errors.MalformedBody(reason=f"a list or object in it has more than {MAX_ITEMS:,} items")
            items.extend(value)
            if isinstance(value, dict):
                items.extend(value.values())
            if len(items) > MAX_VALUES:
                raise errors.MalformedBody(reason=f"it has more than {MAX_VALUES:,} values")
    return items


def _require_text(value: str) -> None:
    if len(value) > MAX_CHARACTERS:
        raise errors.MalformedBody(reason=f"a text in it has more than {MAX_CHARACTERS:,} characters")
    text.require_storable(value)
