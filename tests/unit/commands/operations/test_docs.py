"""Pages of the documentation: all can be shown, whole or one section, and what dcmon says names pages that exist."""

import re

import pytest

from dcmon.commands.operations import docs
from dcmon.errors import UnknownChoice
from tests.helpers.paths import ROOT

NAMED = re.compile(r"dcmon docs\s+([a-z]+(?:-[a-z]+)*)(?:#([a-z0-9-]+))?")
FILE = re.compile(r"docs/[a-z-]+\.md")
# Docstrings of these are for people who read code, or for clients of the endpoint.
SOURCES = [path for path in (ROOT / "dcmon").rglob("*.py") if "http" not in path.parts]


def test_pages_that_dcmon_names_exist() -> None:
    named = {match.groups() for path in SOURCES for match in NAMED.finditer(path.read_text(encoding="utf-8"))}
    assert len(named) > 5
    assert [name for name, section in named if name not in docs.names()] == []
    assert [(name, section) for name, section in named if section and section not in docs.sections(name)] == []


def test_messages_and_help_name_no_file_of_the_repository() -> None:
    """An installation has the pages, but not the repository."""
    shown = re.compile(r"""^(?!\s*#)(?!.*\"\"\").*["'].*docs/[a-z-]+\.md""", re.MULTILINE)
    assert [(path.name, line) for path in SOURCES for line in shown.findall(path.read_text(encoding="utf-8"))] == []
    commands = [path for path in SOURCES if "commands" in path.parts or path.name == "errors.py"]
    assert [path.name for path in commands if FILE.search(path.read_text(encoding="utf-8"))] == []


def test_page_is_shown_whole_or_as_one_section() -> None:
    whole = docs.page("alerts").data["text"]  # type: ignore[call-overload]
    section = docs.page("docs/alerts.md#conditions").data["text"]  # type: ignore[call-overload]
    assert section in whole
    assert section.startswith("## Conditions\n")
    assert "## " not in section.removeprefix("## Conditions").replace("### ", "")


@pytest.mark.parametrize("typed", ["alrets", "alerts#condition"])
def test_page_that_does_not_exist_is_refused_with_the_nearest(typed: str) -> None:
    with pytest.raises(UnknownChoice, match=r"Do you mean 'alerts'|Do you mean 'conditions'"):
        docs.page(typed)
