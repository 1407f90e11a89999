"""Which texts people may choose for names and notes: one rule for the endpoint and the command line.

What data itself has (names of features, categories, values of filters) may be any text that PostgreSQL can store.
"""

import re

from dcmon import errors

MAX_LINE = 1024  # characters of a name or another text of one line; some have smaller bounds
MAX_PROSE = 20_000  # characters of a note or a description

# Control characters; half of a surrogate pair; characters that change the direction of a text or can't be seen.
# Joiners (U+200C, U+200D) are not among them: Persian and emoji need them.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_BREAK = re.compile("[\t\n\r]")


def require_line(text: str, max_length: int = MAX_LINE) -> None:
    """Raise UnusableText unless a text is one line of visible characters."""
    if match := _BREAK.search(text):
        raise errors.UnusableText(code=_code(match[0]), text=_beginning(text), reason="has a line break or a tab")
    require_prose(text, max_length)


def require_storable(text: str) -> None:
    """Raise UnstorableText unless PostgreSQL can store a text: with NUL, or not encodable in UTF-8, it can't."""
    try:
        is_storable = b"\0" not in text.encode()
    except UnicodeEncodeError:
        is_storable = False
    if not is_storable:
        raise errors.UnstorableText.of(text)


def require_prose(text: str, max_length: int = MAX_PROSE) -> None:
    """Raise UnusableText unless a text has visible characters, line breaks and tabs only."""
    if any("\udc80" <= character <= "\udcff" for character in text):  # bytes of an argument that are no UTF-8
        raise errors.UnstorableText.of(text)
    if match := _HIDDEN.search(text):
        reason = "has a character that can't be seen, or that changes the direction of the text"
        raise errors.UnusableText(code=_code(match[0]), text=_beginning(text), reason=reason)
    if len(text) > max_length:
        raise errors.UnusableText(
            f"The text {_beginning(text)} has {len(text):,} characters. At most {max_length:,} are possible."
        )


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"


def _beginning(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:60] + "...")
