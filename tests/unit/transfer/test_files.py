"""Files of organizations and backups are written completely, or the command fails."""

import os
import sys
from pathlib import Path

import pytest

from dcmon import errors
from dcmon.file_errors import FileUnwritable
from dcmon.transfer import files


def test_reader_of_stdout_that_has_ended_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """`dcmon backup create - | ssh ...` must not end with 0 when ssh fails."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stdout, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", stdout)
        with pytest.raises(FileUnwritable, match="stdout can't be written: Broken pipe"), files.writing("-") as stream:
            stream.write(b"x" * 100_000)


@pytest.mark.parametrize("options", [files.NEW_FILE, files.FileOptions(is_dry_run=True)])
def test_directory_is_refused_also_by_a_dry_run(tmp_path: Path, options: files.FileOptions) -> None:
    with pytest.raises(FileUnwritable, match="Is a directory"), files.writing(str(tmp_path), options):
        pass


def test_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "backup"
    with pytest.raises(errors.Conflict), files.writing(str(target)):
        target.write_text("of another process")
    assert (target.read_text(), os.listdir(tmp_path)) == ("of another process", ["backup"])
