"""The style rules of dcmon's code that a machine can check: names, parameters, sizes."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.helpers.paths import ROOT

SOURCES = sorted((ROOT / "dcmon").rglob("*.py"))
MOST_PARAMETERS = 6
MOST_LINES = 400
# Words that readers could not guess. docs/concepts.md has the words to use instead.
RETIRED = {
    *("zygote", "bench", "vitals", "standing", "farewells", "farewell", "latecomers", "latecomer", "whereabouts"),
    *(
        "rehearsal",
        "rehearse",
        "undecoded",
        "sheet",
        "sheets",
        "bury",
        "buried",
        "stretch",
        "stretches",
    ),
    *("rung", "telling", "voice", "vanish", "apart", "unheard", "drafts", "draft", "episode", "episodes", "trials"),
    *("revisiting", "rounds", "clockwork", "pulse", "pulses"),
}


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    parameters = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return [argument.arg for argument in parameters if argument.arg not in ("self", "cls")]


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _words_of(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


def test_function_has_at_most_six_parameters() -> None:
    """Group more parameters in a dataclass; options of commands do not count."""
    long = {
        f"{path.relative_to(ROOT)} {function.name}"
        for path in SOURCES
        if "commands" not in path.parts
        for function in _functions(ast.parse(path.read_text()))
        if len(_parameters(function)) > MOST_PARAMETERS
    }
    assert long == set()


def test_module_has_at_most_400_lines() -> None:
    """A longer module is hard to read and has to be split."""
    assert [str(path.relative_to(ROOT)) for path in SOURCES if path.read_text().count("\n") > MOST_LINES] == []


def test_no_name_is_a_retired_word() -> None:
    """Modules, classes, functions, parameters and variables use the standard words of the field."""
    retired = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in SOURCES
        for name in {path.stem, *_names(ast.parse(path.read_text()))}
        if _words_of(name) & RETIRED
    ]
    assert retired == []


def _modules_without(path: Path) -> bool:
    return not (ast.get_docstring(ast.parse(path.read_text())) or "").strip()


def test_every_module_has_a_docstring() -> None:
    """A reader who opens a module finds its purpose in the first line."""
    assert [str(path.relative_to(ROOT)) for path in SOURCES if _modules_without(path)] == []
