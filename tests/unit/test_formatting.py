"""Names in commands are quoted so that a shell gives the same name to dcmon."""

import subprocess

import pytest

from dcmon.formatting import shell_argument
from tests.helpers.odd_names import ODD_NAMES


@pytest.mark.parametrize("name", [*ODD_NAMES, "it's \x1b[31m", "back\\x1b\x1b1"])
def test_shell_argument_is_the_name_and_printable(name: str) -> None:
    quoted = shell_argument(name)
    command = ["bash", "-c", f"printf %s {quoted}"]

    printed = subprocess.run(command, env={"LC_ALL": "C.UTF-8"}, capture_output=True, check=True).stdout

    assert (printed.decode(), quoted.isprintable()) == (name, True)
