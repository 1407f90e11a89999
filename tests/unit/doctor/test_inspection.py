"""The catalogue of faults, and what is chosen of the findings."""

import re
import shlex
from datetime import timedelta

import pytest

from dcmon import errors
from dcmon.commands.views import doctor as view
from dcmon.doctor import inspection
from dcmon.doctor.faults import FAULTS, PROBLEM_TITLES, Fact, Fault, Finding, Part, add
from dcmon.doctor.installation import Installation
from dcmon.doctor.postgresql_faults import literal, psql
from dcmon.health.problem import ProblemName
from dcmon.settings import Settings
from dcmon.severity import Severity
from tests.helpers.paths import ROOT

PAGE = (ROOT / "docs" / "doctor.md").read_text()
DISK = Finding(FAULTS["disk-full"], Fact("/data has 1 % left.", "dcmon prune", severity=Severity.CRITICAL))
PAUSED = Finding(FAULTS["receiver-paused"], Fact("Pager is paused.", "dcmon receiver resume pager", "acme"))


def test_every_code_has_a_section_in_the_docs() -> None:
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))

    assert sorted(sections) == sorted(FAULTS)
    assert [code for code, text in sections.items() if "**Evidence**" not in text or "**Type**" not in text] == []


def test_every_fault_is_injected_in_a_test() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "integration" / "doctor").glob("test_*.py"))

    assert [code for code in FAULTS if f'"{code}"' not in tests] == []


def test_every_problem_of_the_status_is_a_fault() -> None:
    assert set(PROBLEM_TITLES) == set(ProblemName)


def test_a_code_can_be_taken_only_once() -> None:
    with pytest.raises(ValueError, match="Two faults have the code disk-full"):
        add(Fault("disk-full", "Again", Part.FILES, Severity.LOW))


@pytest.mark.parametrize(
    ("codes", "org", "chosen"),
    [
        ([], None, [DISK, PAUSED]),
        (["disk-full"], None, [DISK]),
        ([], "acme", [DISK, PAUSED]),
        ([], "beta", [DISK]),
        (["receiver-paused"], "beta", []),
    ],
)
def test_findings_are_chosen_by_code_and_org(codes: list[str], org: str | None, chosen: list[Finding]) -> None:
    assert inspection.choose([DISK, PAUSED], codes, org) == chosen


def test_timeout_must_be_positive() -> None:
    with pytest.raises(errors.InvalidInput, match="longer than 0"):
        inspection.parse_timeout(timedelta())


def test_findings_are_shown_with_code_and_command() -> None:
    page = view.report([DISK], [], is_catalogue=False, quiet=False)

    assert [line for part in page.parts for line in getattr(part, "lines", [])] == [
        "[critical] disk-full: The disk is nearly full.",
        "    /data has 1 % left.",
        "    dcmon prune",
    ]
    assert page.data[0]["evidence"] == "/data has 1 % left."  # type: ignore[index]


@pytest.mark.parametrize("name", ["tx", "it's", "a$b'c", "$$", 'x"; drop table models; --'])
def test_names_in_commands_of_psql_are_quoted(name: str) -> None:
    """A name is one text of SQL, and the statement one argument of the shell."""
    statement = f"rollback prepared {literal(name)}"

    assert shlex.split(psql(Installation(Settings()), statement))[-2:] == ["-c", statement]

    quoted = statement.removeprefix("rollback prepared ")
    if "$" not in name:
        assert quoted == f"$${name}$$"
    else:
        assert quoted[1:-1].replace("''", "'") == name
