"""The packages of dcmon agree with docs/architecture.md: charter, face and imports."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.helpers.paths import DOCS, ROOT

PAGE = (DOCS / "architecture.md").read_text()
SOURCE = ROOT / "dcmon"
ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<charter>.+?) \|$", re.MULTILINE)
ENTRY = re.compile(r"^- `(?P<name>\w+)`: (?P<names>.+?)(?=^- |\Z)", re.MULTILINE | re.DOTALL)
PATHS = re.compile(r"`((?:dcmon|tests|migrations|benchmarks|docs)/[\w./-]+)`")


@dataclass(frozen=True)
class Package:
    """A package on the page: `face` are modules relative to the package, "package" is its `__init__`."""

    charter: str
    face: frozenset[str]
    imports: frozenset[str]


@dataclass(frozen=True)
class Import:
    """An import that crosses a border between packages."""

    importer: Path
    importing: str
    package: str
    module: str


def _list(title: str) -> dict[str, frozenset[str]]:
    """Return the names that a section of the page lists for each package."""
    section = PAGE.partition(f"### {title}\n")[2].partition("\n### ")[0]
    return {entry["name"]: frozenset(re.findall(r"`([\w.]+)`", entry["names"])) for entry in ENTRY.finditer(section)}


FACES, IMPORTS = _list("Faces"), _list("Imports")
PACKAGES = {
    row["name"]: Package(row["charter"], FACES[row["name"]], IMPORTS[row["name"]]) for row in ROW.finditer(PAGE)
}


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _modules() -> frozenset[str]:
    return frozenset(_module(path) for path in SOURCE.rglob("*.py"))


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "dcmon":
            for name in node.names:
                full = f"{node.module}.{name.name}"
                yield full if full in _modules() else node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] == "dcmon")


@cache
def _crossings() -> tuple[Import, ...]:
    collected = []
    for path in sorted(SOURCE.rglob("*.py")):
        importing = path.relative_to(SOURCE).parts[0]
        for module in _imported(ast.parse(path.read_text())):
            parts = module.split(".")
            if len(parts) > 1 and parts[1] in PACKAGES and parts[1] != importing:
                collected.append(Import(path.relative_to(ROOT), importing, parts[1], ".".join(parts[2:]) or "package"))
    return tuple(collected)


def test_every_package_has_a_row_in_the_table() -> None:
    """A package without a charter, or a row without a package, is a mistake."""
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert set(PACKAGES) == set(FACES) == set(IMPORTS) == packages


def test_every_package_is_in_the_picture() -> None:
    """The picture shows where each package runs."""
    picture = PAGE.partition("```\n")[2].partition("```")[0]
    assert {name for name in [*PACKAGES, "app"] if not re.search(rf"\b{name}\b", picture)} == set()


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_package_docstring_is_its_charter(name: str) -> None:
    """The first line of `__init__` and the table have the same sentence."""
    docstring = ast.get_docstring(ast.parse((SOURCE / name / "__init__.py").read_text())) or ""
    assert docstring.split("\n\n")[0].replace("\n", " ") == PACKAGES[name].charter


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_package_is_entered_only_by_its_face(name: str) -> None:
    """Other packages import only the modules of the face, and every module of the face is imported by one."""
    entries = [crossing for crossing in _crossings() if crossing.package == name]
    inside = [
        f"{entry.importer} imports dcmon.{name}.{entry.module}"
        for entry in entries
        if entry.module not in PACKAGES[name].face
    ]
    assert inside == []
    assert PACKAGES[name].face == {entry.module for entry in entries}


@pytest.mark.parametrize("name", sorted(PACKAGES))
def test_package_imports_only_what_the_page_lists(name: str) -> None:
    """The list of imports has exactly the packages that are imported today."""
    assert PACKAGES[name].imports == {crossing.package for crossing in _crossings() if crossing.importing == name}


def test_every_path_in_the_docs_exists() -> None:
    """A reader who follows the docs into the code finds the file."""
    pages = [*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    missing = [
        f"{page.name}: {path}"
        for page in pages
        for path in PATHS.findall(page.read_text())
        if not list(ROOT.glob(path.rstrip("/")))
    ]
    assert missing == []
