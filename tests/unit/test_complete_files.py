"""Files appear under their names when they are complete, and never with the contents of two writers."""

import errno
import os
from pathlib import Path

import pytest

from dcmon import complete_files


def test_writers_at_the_same_time_never_mix(tmp_path: Path) -> None:
    target = tmp_path / "report"
    with complete_files.writing(target) as first, complete_files.writing(target) as second:
        for _ in range(100):
            first.write(b"a" * 1_000)
            second.write(b"b" * 1_000)
        assert not target.exists()
    assert target.read_bytes() == b"a" * 100_000
    assert os.listdir(tmp_path) == ["report"]


def test_error_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "report"
    target.write_text("old")
    with pytest.raises(TypeError), complete_files.writing(target) as stream:
        stream.writelines([b"new", None])  # type: ignore[list-item]
    assert (target.read_text(), os.listdir(tmp_path)) == ("old", ["report"])


def test_error_names_the_file_that_was_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "missing" / "report"
    with pytest.raises(FileNotFoundError) as raised:
        complete_files.write_text(target, "ü")
    assert raised.value.filename == str(target)


def test_full_disk_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    """The system's error of a write names no file."""
    target = tmp_path / "report"
    with pytest.raises(OSError, match="No space left") as raised, complete_files.writing(target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert (raised.value.filename, os.listdir(tmp_path)) == (str(target), [])


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        complete_files.write_text(tmp_path / "open", "ü")
        with complete_files.writing(tmp_path / "own", complete_files.PRIVATE):
            pass
    finally:
        os.umask(before)
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("open", "own")}
    assert modes == {"open": 0o640, "own": 0o600}
    assert (tmp_path / "open").read_bytes() == "ü".encode()


def test_pipe_is_written_in_place(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    complete_files.write_text(pipe, "text")
    assert os.read(reader, 10) == b"text"
    os.close(reader)
    assert pipe.is_fifo()
