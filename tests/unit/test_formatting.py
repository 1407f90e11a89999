"""Texts from outside, on a terminal and in commands that can be copied."""

import json
import subprocess
import sys
import unicodedata

import pytest

from dcmon.formatting import printable, printable_json, shell_argument
from tests.helpers.odd_names import ODD_NAMES


@pytest.mark.parametrize("name", [*ODD_NAMES, "it's \x1b[31m", "back\\x1b\x1b1"])
def test_shell_argument_is_the_name_and_printable(name: str) -> None:
    quoted = shell_argument(name)
    command = ["bash", "-c", f"printf %s {quoted}"]

    printed = subprocess.run(command, env={"LC_ALL": "C.UTF-8"}, capture_output=True, check=True).stdout

    assert (printed.decode(), quoted.isprintable()) == (name, True)


def test_printable_shows_all_that_terminals_do_not_show() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))

    shown = printable(everything)

    assert {sign for sign in shown if not sign.isprintable() and unicodedata.category(sign) != "Zs"} == {"\n"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m\x9b\x07\r", "\\x1b[31m\\x9b\\x07\\r"),
        ("a\u202eb\u2028c\u200bd\ud800", "a\\u202eb\\u2028c\\u200bd\\ud800"),
        ("ad\u200dmin \u200d", "ad\\u200dmin \\u200d"),
        ("👩\u200d💻 می\u200cخواهم 1\u00a0000 [red]", "👩\u200d💻 می\u200cخواهم 1\u00a0000 [red]"),
        ("👩\u200d\u200d💻", "👩\\u200d\\u200d💻"),
    ],
)
def test_printable_keeps_joined_signs_and_spaces(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_printable_without_lines_is_one_line() -> None:
    assert printable("a\nb", keeps_lines=False) == "a\\nb"


def test_printable_json_means_the_same() -> None:
    value = {"\x9b\u202e": ["\x7f\n\x1b", "\U000e0041é🙂", "\ud800"]}

    encoded = printable_json(json.dumps(value, ensure_ascii=False, indent=2))

    assert json.loads(encoded) == value
    assert encoded.replace("\n", "").isprintable()
