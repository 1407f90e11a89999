"""What a mistyped name probably means."""

from collections.abc import Collection, Iterable
from itertools import islice

LONGEST = 200  # characters of a name that is compared; the time grows with the square of the length
MOST = 5_000  # names that it is compared with
LIKE = 0.6  # how much of two names must be equal, from 0 to 1
SHORT, LIKE_SHORT = 3, 0.5  # of so few characters half are enough: v9 means v1
MOST_LISTED = 30  # choices that a message lists


def nearest(name: object, known: Iterable[str], like: float | None = None) -> str | None:
    """Return the known name that is most like another one; None if none is like it.

    `like`: how much must be equal; None: LIKE, and less of a short name. Upper and lower case are alike. For long names
    and many known ones the time is bounded: then fewer are compared.
    """
    from difflib import get_close_matches

    typed = str(name)
    if len(typed) > LONGEST or typed.isdigit():  # another number is another object
        return None
    names = {other.lower(): other for other in islice(known, MOST) if len(other) <= LONGEST}
    if like is None:
        like = LIKE_SHORT if len(typed) <= SHORT else LIKE
    matches = get_close_matches(typed.lower(), names, 1, like)
    return names[matches[0]] if matches else None


def meant(name: object, known: Iterable[str]) -> str:
    """Return " Do you mean 'x'?" for an error message, or an empty text."""
    match = nearest(name, known)
    return "" if match is None else f" Do you mean {str(match)!r}?"


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """Return the sentences about a word that is not one of those that are known. `what`: such as "severity"."""
    words = list(known)
    return f"There is no {what} {str(name)!r}.{meant(name, words)}{one_of(words)}"


def listed(words: Iterable[str]) -> str:
    """Return words as a sentence lists them: low, medium or high."""
    *first, last = map(str, words)
    return f"{', '.join(first)} or {last}" if first else last


def one_of(words: Collection[str]) -> str:
    """Return " It is one of a, b or c." for an error message, or an empty text for none or very many words."""
    return f" It is one of {listed(words)}." if 1 < len(words) <= MOST_LISTED else ""
