"""docs/compatibility.md says of each route and each fault of the old system what became of it; this keeps it true."""

import re

from dcmon.http import api
from tests.helpers.paths import ROOT

PAGE = (ROOT / "docs" / "compatibility.md").read_text()
OLD_ROUTES = (ROOT / "tests" / "fixtures" / "old_routes.txt").read_text().split("\n")[:-1]
OLD_ROW = re.compile(r"^\| `([A-Z]+ /\S*)` \| (same|better|not there) \| (.*) \|$", re.MULTILINE)
OWN_ROW = re.compile(r"^\| `([A-Z]+ /\S*)` \| ([^|]+) \|$", re.MULTILINE)
FAULT_ROW = re.compile(r"^\| ([PRS]\d+): [^|]+\|[^|]+\| `(test_\w+)` \|$", re.MULTILINE)
FAULTS = [f"{part}{number}" for part, last in (("P", 17), ("R", 22), ("S", 12)) for number in range(1, last + 1)]


def _anonymous(route: str) -> str:
    """Return a route without the names of its parameters."""
    return re.sub(r"\{[^}]*\}", "{}", route)


def _served() -> set[str]:
    """Return all routes of the application, without names of parameters. HEAD is GET without its body."""
    return {
        _anonymous(f"{method} {path}") for path, route in api.routes() for method in route.methods if method != "HEAD"
    }


def _old(route: str) -> str:
    """Return an old route as _served has it."""
    method, path = route.split()
    return _anonymous(f"{method} {api.PREFIX}{path}")


def test_compatibility_page_has_every_old_route_once() -> None:
    assert len(OLD_ROUTES) == 118
    assert [route for route, _, _ in OLD_ROW.findall(PAGE)] == OLD_ROUTES


def test_route_that_the_page_claims_is_served() -> None:
    claimed = {_old(route) for route, state, _ in OLD_ROW.findall(PAGE) if state != "not there"}

    assert claimed - _served() == set()


def test_route_that_differs_says_how() -> None:
    assert [route for route, state, note in OLD_ROW.findall(PAGE) if state != "same" and not note.strip()] == []


def test_compatibility_page_has_dcmons_own_routes() -> None:
    own = {_anonymous(route) for route, _ in OWN_ROW.findall(PAGE)}

    assert own == _served() - {_old(route) for route in OLD_ROUTES}


def test_every_fault_names_a_test_that_exists() -> None:
    named = FAULT_ROW.findall(PAGE)
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))

    assert [fault for fault, _ in named] == FAULTS
    assert [test for _, test in named if f"def {test}(" not in sources] == []
