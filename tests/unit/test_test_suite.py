"""The rules of CONTRIBUTING.md for the tests themselves."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

TESTS = ROOT / "tests"
LONGEST_NAME = 60
SLEEPS_ALLOWED = {
    "chaos/": "It polls while it kills processes at random moments.",
    "helpers/alerts.py": "A peer that sends slowly.",
    "integration/commands/test_monitor.py": "Ctrl-C at several moments of a wait.",
    "integration/ingestion/files/test_loader.py": "A process is killed at random moments.",
    "integration/ingestion/test_kafka_logs.py": "A fetch in progress is not visible outside of librdkafka.",
}
SKIPS = {"pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail"}


@cache
def modules() -> dict[str, list[ast.AST]]:
    """Return the nodes of the syntax tree of each module of the tests by its path."""
    return {str(path.relative_to(TESTS)): list(ast.walk(ast.parse(path.read_text()))) for path in _paths()}


def _paths() -> Iterator[Path]:
    yield from TESTS.rglob("*.py")


def is_sleep(node: ast.AST) -> bool:
    """Return True for a call such as `time.sleep(0.5)`."""
    return isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "sleep"


def without_reason(nodes: list[ast.AST]) -> list[int]:
    """Return the lines of marks that skip a test or expect its failure without a reason."""
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    reasoned = {id(call.func) for call in calls if any(keyword.arg == "reason" for keyword in call.keywords)}
    marks = [node for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node) in SKIPS]
    return [mark.lineno for mark in marks if id(mark) not in reasoned]


def test_names_of_tests_have_at_most_60_characters() -> None:
    names = {
        f"{module}: {node.name}"
        for module, nodes in modules().items()
        for node in nodes
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and len(node.name) > LONGEST_NAME
    }
    assert names == set()


def test_no_test_sleeps_for_a_fixed_time() -> None:
    """`eventually` waits for a condition; a fixed time is too short on a busy machine and too long on others."""
    sleeping = {module for module, nodes in modules().items() if any(map(is_sleep, nodes))}
    assert {module for module in sleeping if not module.startswith(tuple(SLEEPS_ALLOWED))} == set()
    assert {
        allowed for allowed in SLEEPS_ALLOWED if not any(module.startswith(allowed) for module in sleeping)
    } == set()


def test_no_test_is_skipped_without_a_reason() -> None:
    marks = {module: without_reason(nodes) for module, nodes in modules().items()}
    assert {module: lines for module, lines in marks.items() if lines} == {}


@pytest.mark.parametrize("kind", ["unit", "integration"])
def test_folders_of_tests_mirror_the_packages(kind: str) -> None:
    packages = {path.parent.name for path in (ROOT / "dcmon").glob("*/__init__.py")}
    folders = {path.name for path in (TESTS / kind).iterdir() if path.is_dir() and not path.name.startswith("_")}
    assert folders - packages == set()
