"""A text file that is being read: its bytes, decompressed, with its encoding."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from dcmon.ingestion.files.dialect import Dialect
from dcmon.ingestion.files.encoding import UTF8


@dataclass(frozen=True)
class TextFile:
    """A text file that is being read. `notes` gets what it shows about how it is written, by subject."""

    path: str
    stream: BinaryIO
    encoding: str
    dialect: Dialect
    notes: dict[str, str]

    @contextmanager
    def text(self) -> Iterator[io.TextIOWrapper]:
        """Open the text, without the byte order mark of UTF-16. Bytes that are not UTF-8 are kept as surrogates."""
        on_error = "surrogateescape" if self.encoding == UTF8 else "strict"
        text = io.TextIOWrapper(self.stream, encoding=self.encoding, errors=on_error, newline="")
        try:
            yield text
        finally:
            text.detach()
