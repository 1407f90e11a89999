"""What dcmon says to a person: sentences on stderr, wrapped at words where that is a terminal, else as they are."""

import os
import re
import sys
import unicodedata

# A word, or a command that is quoted: it stays on one line, so that it can be copied. Odd parts are the blanks.
_WORDS = re.compile(r"( +)")
_COMMAND = re.compile(r'(?<!\S)[(]?"dcmon [^"\n]*"\S*')
_HELD = "\0"  # a blank inside a command
_LEAST_WIDTH = 20


def wrapped(text: str, beside: int = 0) -> str:
    """Return a text as it is written to stderr. `beside`: how many characters follow on its last line."""
    width = _width() - beside
    return text if width < _LEAST_WIDTH else "\n".join(_wrapped(line, width) for line in text.split("\n"))


def _width() -> int:
    """Return the characters of a line of the terminal; 0 if stderr is none, or its size is not known."""
    if not sys.stderr.isatty():
        return 0
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        return 0


def _wrapped(line: str, width: int) -> str:
    if _cells(line) <= width:
        return line
    indent = line[: len(line) - len(line.lstrip(" "))]
    held = _COMMAND.sub(lambda command: _held(command[0], width - len(indent)), line.lstrip(" "))
    first, *others = _WORDS.split(held)
    rows = [indent + first]
    for blanks, word in zip(others[::2], others[1::2], strict=True):
        if _cells(rows[-1] + blanks + word) <= width:
            rows[-1] += blanks + word
        else:
            rows.append(indent + word)
    return "\n".join(rows).replace(_HELD, " ")


def _held(command: str, width: int) -> str:
    return command.replace(" ", _HELD) if _cells(command) <= width else command


def _cells(text: str) -> int:
    """Return how many characters of a terminal a text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.combining(character) > 0 for character in text)
