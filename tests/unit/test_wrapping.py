"""Sentences on stderr are wrapped at words on a terminal, and stay as they are in a pipe."""

import os
import re
import termios
from collections.abc import Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import TextIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmon.wrapping import wrapped

SENTENCE = "Delete model 'credit' with 1,000 reference rows, 12 monitors and 3 rules? It can't be undone."


@pytest.fixture(scope="module")
def terminal() -> Iterator[TextIO]:
    """Yield a terminal with 30 characters in a line."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 30))
    with os.fdopen(ours), os.fdopen(theirs, "w") as stream:
        yield stream


def lines_on(terminal: TextIO, text: str, beside: int = 0) -> list[str]:
    with redirect_stderr(terminal):
        return wrapped(text, beside).split("\n")


@given(st.lists(st.text("aé日.,'(", min_size=1, max_size=12), min_size=1).map(" ".join))
def test_words_stay_whole_and_lines_fit(terminal: TextIO, text: str) -> None:
    lines = lines_on(terminal, text)
    assert " ".join(lines) == text
    assert all(len(line) + line.count("日") <= 30 for line in lines)


def test_what_follows_a_question_fits(terminal: TextIO) -> None:
    lines = lines_on(terminal, f"{SENTENCE} [y/N]", beside=2)
    assert len(lines) > 3
    assert max(map(len, lines)) <= 28


def test_command_in_quotes_can_be_copied(terminal: TextIO) -> None:
    assert lines_on(terminal, 'There is no model. "dcmon model list -o name" lists them.') == [
        "There is no model.", '"dcmon model list -o name"', "lists them.",
    ]  # fmt: skip


def test_lines_keep_their_beginning(terminal: TextIO) -> None:
    text = "First:\n    a line that is longer than the terminal\n\nlast"
    assert lines_on(terminal, text) == ["First:", "    a line that is longer than", "    the terminal", "", "last"]


def test_word_longer_than_a_line_is_not_broken(terminal: TextIO) -> None:
    url = "https://example.org/" + "a" * 40
    assert lines_on(terminal, f"See {url} for more.") == ["See", url, "for more."]


def test_text_in_a_pipe_stays_as_it_is() -> None:
    read, write = os.pipe()
    with os.fdopen(read), os.fdopen(write, "w") as stream:
        assert lines_on(stream, SENTENCE) == [SENTENCE]


def test_each_question_is_wrapped() -> None:
    """Only names of values, such as a setting, are short enough as they are."""
    pattern = re.compile(r"typer\.(?:prompt|confirm)\((?!wrapped\(|[A-Z_]+,|name,|\"Integration key\",)")
    paths = sorted((Path(__file__).parents[2] / "dcmon" / "commands").rglob("*.py"))
    assert [str(path) for path in paths if pattern.search(path.read_text())] == []
