"""What a mistyped name probably means."""

from collections.abc import Iterable
from itertools import islice

LONGEST = 200  # characters of a name that is compared; the time grows with the square of the length
MOST = 5_000  # names that it is compared with


def nearest(name: object, known: Iterable[str]) -> str | None:
    """Return the known name that is most like another one; None if none is like it.

    Upper and lower case are alike. For long names and many known ones the time is bounded: then fewer are compared.
    """
    from difflib import get_close_matches

    typed = str(name)
    if len(typed) > LONGEST:
        return None
    names = {other.lower(): other for other in islice(known, MOST) if len(other) <= LONGEST}
    matches = get_close_matches(typed.lower(), names, 1)
    return names[matches[0]] if matches else None


def meant(name: object, known: Iterable[str]) -> str:
    """Return " Do you mean 'x'?" for an error message, or an empty text."""
    match = nearest(name, known)
    return "" if match is None else f" Do you mean {str(match)!r}?"
