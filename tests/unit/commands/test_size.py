"""A command parses, makes one call and prints: its body has at most 15 lines, without the docstring."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import dcmon.commands

FOLDER = Path(dcmon.commands.__file__).parent
MOST = 15


def commands() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Find every function that Typer calls, by its decorator."""
    for path in sorted(FOLDER.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            decorators = [ast.unparse(decorator_node) for decorator_node in getattr(node, "decorator_list", [])]
            if isinstance(node, ast.FunctionDef) and any(decorator.startswith("app.") for decorator in decorators):
                yield f"{path.stem}.{node.name}", node


def body_lines(function: ast.FunctionDef) -> int:
    """Count the lines from the first statement after the docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


COMMANDS = dict(commands())


def test_commands_are_found() -> None:
    assert len(COMMANDS) > 60


@pytest.mark.parametrize("name", COMMANDS)
def test_command_body_has_at_most_fifteen_lines(name: str) -> None:
    assert body_lines(COMMANDS[name]) <= MOST
