"""What was renamed, with the silences and mute times that still match its old name."""

from collections.abc import Mapping
from typing import Any

from dcmon.formatting import listed
from dcmon.output import Fields, Page

KEY = "old_name_in"  # of a row: the silences and mute times that need the new name


def renamed(row: Mapping[str, Any]) -> Page:
    """Show an object that was renamed."""
    sentence = remark(row)
    return Page(row, [Fields(row)], [sentence] if sentence else [])


def remark(row: Mapping[str, Any]) -> str | None:
    """Return the sentence about what still has the old name; None if nothing has it."""
    if not (named := row.get(KEY)):
        return None
    verb, pronoun = ("matches", "it") if len(named) == 1 else ("match", "them")
    noun, text = named[0].split()[0], listed(named)
    return f'{text[:1].upper()}{text[1:]} still {verb} the old name: "dcmon {noun} set … --match" changes {pronoun}.'
