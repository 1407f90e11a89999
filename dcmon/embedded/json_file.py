"""JSON files that are replaced atomically and can be read only by their owner."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dcmon import complete_files


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the file atomically: a reader sees the old or the new content. Raises OSError."""
    with complete_files.writing(path, complete_files.PRIVATE) as file:
        file.write(json.dumps(content, default=str).encode())


def read(path: Path) -> dict[str, Any] | None:
    """Return the content of the file; None if it is missing or not JSON."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content
