"""An archive is refused before too much of it is in memory."""

import io

import pytest

from dcmon.file_errors import ArchiveDamaged
from dcmon.transfer import archive
from dcmon.transfer.archive import ArchiveWriter


def test_too_large_part_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    writer = ArchiveWriter(stream)
    writer.add("small", b"x")
    writer.add("large", b"x" * 1_001)
    writer.close()
    stream.seek(0)
    assert [part.name for part in archive.read(stream, "a.tar.gz")] == ["small", "large"]
    monkeypatch.setattr(archive, "MAX_PART_BYTES", 1_000)
    stream.seek(0)
    with pytest.raises(ArchiveDamaged, match="'large' is too large"):
        list(archive.read(stream, "a.tar.gz"))
