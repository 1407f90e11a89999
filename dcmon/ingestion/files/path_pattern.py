"""Patterns of paths: `in/2026-*.csv`, and `**` for any number of folders."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import NamedTuple

from dcmon.ingestion.files import path_columns

WILDCARDS = frozenset("*?[")
ANY_FOLDERS = "**"


class SplitPattern(NamedTuple):
    """The folder before the first wildcard, "" if there is none, and the parts after it."""

    base: str
    parts: tuple[str, ...]


def is_pattern(path: str) -> bool:
    """Return True if a path has wildcards."""
    return not WILDCARDS.isdisjoint(path)


def split(pattern: str) -> SplitPattern:
    """Split a pattern before its first wildcard. A last part `**` is any file in any folder."""
    parts = PurePosixPath(pattern).parts
    first = next((at for at, part in enumerate(parts) if is_pattern(part)), len(parts))
    remaining = (*parts[first:], "*") if parts[-1:] == (ANY_FOLDERS,) else parts[first:]
    return SplitPattern(str(PurePosixPath(*parts[:first])) if first else "", remaining)


def matches_part(part: str, pattern: str) -> bool:
    """Return True if a file or folder matches a part of a pattern. `*` matches no hidden name."""
    return fnmatchcase(part, pattern) and (part[:1] == pattern[:1] or not path_columns.is_hidden(part))


def matches(path: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return True if the parts of a path match a pattern, or a folder of the path does."""
    if not pattern:
        return True
    if pattern[0] == ANY_FOLDERS:
        return matches(path, pattern[1:]) or (len(path) > 1 and matches(path[1:], pattern))
    return bool(path) and matches_part(path[0], pattern[0]) and matches(path[1:], pattern[1:])
