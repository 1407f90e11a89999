"""The logs of dcmon's processes."""

import io
from pathlib import Path

import pytest

from dcmon.embedded.managed_process import _copy_to_log


def test_lines_for_a_full_disk_are_lost_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    """A traceback for each line would go to the log of the supervisor, which is on the same disk."""
    _copy_to_log(io.BytesIO(b'{"message": "one"}\n{"message": "two"}\n'), Path("/dev/full"))
    assert capfd.readouterr().err == ""
