"""JSON files that are replaced atomically and can be read only by their owner."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the file atomically: a reader sees the old or the new content."""
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(content, file, default=str)
    new.replace(path)


def read(path: Path) -> dict[str, Any] | None:
    """Return the content of the file; None if it is missing or not JSON."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content
