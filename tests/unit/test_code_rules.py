"""The style rules of dcmon's code that a machine can check: names, words, parameters, sizes."""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

SOURCES = sorted((ROOT / "dcmon").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
STATEMENTS = sorted((ROOT / "dcmon").rglob("*.sql"))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = sorted((ROOT / "dcmon" / "commands").glob("*.py"))
SESSIONS = {"session", "org", "public", "org_session", "public_session"}  # calls that open a transaction
PRINTS = {"page", "table", "tables", "value", "remark"}  # methods of Output that print
PARSING = ("dcmon.commands.shared.", "dcmon.durations", "dcmon.errors")  # modules that a command parses with
NO_WORK = re.compile(r"parse_|is_|has_|[A-Z]")  # functions that parse, predicates, and classes
MOST_PARAMETERS = 6
MOST_LINES = 400
# Words that a reader could not guess, with the words that replace them. They are not in code, text or names of tests.
RETIRED = {
    "sign of life": "process heartbeat",
    "signs of life": "process heartbeats",
    "pulse": "process heartbeat",
    "pulses": "process heartbeats",
    "vitals": "health snapshot, collector",
    "standing": "status",
    "news": "problem notification, changes",
    "rounds": "scheduler runs",
    "clockwork": "scheduler",
    "rung": "enqueued",
    "stretch": "read range",
    "stretches": "read ranges",
    "sought": "offset reset",
    "arrivals": "batch of rows",
    "layouts": "column mappings",
    "bury": "dead-letter, move to the dead letters",
    "buried": "dead-lettered",
    "undecoded": "raw",
    "rehearsal": "dry run",
    "rehearse": "dry run",
    "examination": "audit",
    "whereabouts": "sample lookup",
    "sheet": "column block",
    "sheets": "column blocks",
    "fair": "deterministic",
    "revisiting": "re-evaluation",
    "looked at again": "re-evaluated",
    "gathering": "row loading",
    "zygote": "fork server",
    "bench": "check worker",
    "criteria": "rule conditions",
    "trials": "rule tests",
    "episode": "alert",
    "episodes": "alerts",
    "telling": "notify policy",
    "voice": "change context",
    "write down": "record",
    "written down": "recorded",
    "vanish": "retract",
    "taken back": "retracted",
    "unjudged": "rule failure",
    "unheard": "pending for a receiver",
    "latecomer": "catch-up",
    "latecomers": "catch-up",
    "farewell": "closing notification",
    "farewells": "closing notifications",
    "drafts": "batches of notifications",
    "posting": "delivery",
    "outbound": "egress",
    "nobody": "no process, no receiver, ...",
    "whoever": "the process that ...",
    "whatever": "any ...",
    "wherever": "in each place where ...",
    "anew": "again",
}
RETIRED_PATTERN = re.compile(
    r"\b(?:" + "|".join(word.replace("_", " ").replace(" ", r"\s+") for word in RETIRED) + r")\b", re.IGNORECASE
)
# Words of plain text that say too little as a name.
RETIRED_AS_NAMES = {
    "facts": "health snapshot",
    "ring": "enqueue",
    "wake": "enqueue",
    "pick": "claim",
    "rest": "release, remaining",
    "turn": "poll",
    "turned": "polled",
    "letter": "message",
    "floors": "committed offsets",
    "shapes": "row types",
    "places": "locations",
    "correcting": "corrections",
    "tuples": "pg_copy",
    "arrays": "pg_binary",
    "grammar": "condition parser",
    "subjects": "rule targets",
    "replays": "replay",
    "answer": "response, check result",
    "see": "observe",
    "tell": "notify",
    "told": "notified",
    "apart": "isolated",
    "evidence": "drivers",
    "moved": "drivers, largest changes",
    "heard": "notified",
    "box": "outbox",
    "extent": "window statistics",
    "there": "window statistics, row count",
    "kept": "retention, reference cache",
    "gone": "retracted, deleted",
    "began": "started_at",
    "reached": "last_window_end",
    "said": "message",
    "says": "message",
    "found": "rows, results, match",
    "ours": "own",
    "theirs": "other",
    "planning": "planner",
    "whole": "the document, the line, ...",
    "why": "reason",
    "who": "receiver, process, ...",
    "mine": "own",
    "each": "the element: row, rule, receiver",
}
# Other words of the old glossary are standard where the code uses them, and readers judge these: `kind`, the `sign` of
# an operator, the `floor` of a time, the `heartbeat` of a process, a `silence` of alerts, the `children` of a process,
# `targets`, `delivery`, `reasons`, `expired`, `quiet`, `elements`, `admission`, `machine` (of states), `liveness`.

# Where a retired word stays, and why.
KEPT_WORDS = {
    ("dcmon/alerting/rule_failures.py", "unjudged"): "the key in results that an earlier version stored",
    ("dcmon/privileges.py", "nobody"): "the user of the operating system",
    ("dcmon/settings.py", "nobody"): "the user of the operating system",
    ("docs/settings.md", "nobody"): "the user of the operating system",
    ("docs/security.md", "nobody"): "the user of the operating system",
    ("CHANGELOG.md", "nobody"): "the user of the operating system",
    ("docs/performance.md", "bench"): "`make bench`",
    ("docs/operating.md", "unjudged"): "the changed names are listed",
    ("docs/decisions.md", "rounds"): "the renamed tables are listed",
}
KEPT_NAMES = {
    "told_severity": "a column of organizations' schemas: docs/decisions.md",
    "began_at": "a column of organizations' schemas: docs/decisions.md",
    "facts": "the field FactSet.facts of Teams",
    "DOES_NOT_ANSWER": "the state of a part in `dcmon status -o json`",
    "HTTP_GONE": "the name of the status 410",
    "is_gone": "the receiver answered 410 Gone",
    "GONE": "the state of a process that `dcmon status` shows",
    "for_each": "the element is a parameter",
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
    """Return the words of a name. Dead letter (of queues) and not found (the status 404) are one word each."""
    name = re.sub(
        "(dead|not)_?(letter|found)", lambda match: f"{match[1]}{match[2].lower()}", name, flags=re.IGNORECASE
    )
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


def _prose(path: Path) -> str:
    """Return the text of a Python file that people read: strings, docstrings and comments."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    return "\n".join(token.string for token in tokens if token.type in (tokenize.STRING, tokenize.COMMENT))


def _retired_in(path: Path, text: str) -> Iterator[str]:
    """Yield the retired words of a text, with the file and the word to write."""
    place = str(path.relative_to(ROOT))
    for phrase in {match[0].lower() for match in RETIRED_PATTERN.finditer(text.replace("_", " "))}:
        word = " ".join(phrase.split())
        if (place, word) not in KEPT_WORDS:
            yield f"{place}: {word!r}, write: {RETIRED[word]}"


def _retired_names(paths: Iterable[Path], retired: Mapping[str, str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}: {name}, write: {', '.join(retired[word] for word in words)}"
        for path in paths
        for name in sorted({path.stem, *_names(ast.parse(path.read_text()))} - KEPT_NAMES.keys())
        if (words := sorted(_words_of(name) & retired.keys()))
    ]


def test_no_name_is_a_retired_word() -> None:
    """Modules, classes, functions, parameters and variables use the standard words of the field."""
    assert _retired_names(SOURCES, RETIRED | RETIRED_AS_NAMES) == []


def test_no_test_is_named_by_a_retired_word() -> None:
    """Files, classes and functions of tests use the standard words too; their variables are not checked."""
    retired = [
        f"{path.relative_to(ROOT)}: {name}, write: {', '.join(RETIRED[word] for word in words)}"
        for path in TESTS
        for name in sorted({path.stem, *(function.name for function in _functions(ast.parse(path.read_text())))})
        if (words := sorted(_words_of(name) & RETIRED.keys()))
    ]
    assert retired == []


@pytest.mark.parametrize("kind", ["code", "SQL", "pages"])
def test_no_text_has_a_retired_word(kind: str) -> None:
    """Messages, help, docstrings, comments, SQL and pages use the words of docs/concepts.md."""
    if kind == "code":
        texts = [(path, _prose(path)) for path in SOURCES]
    else:
        texts = [(path, path.read_text()) for path in (STATEMENTS if kind == "SQL" else PAGES)]
    assert [line for path, text in texts for line in _retired_in(path, text)] == []


def test_every_exception_is_needed() -> None:
    """An exception of a word or a name that is no longer there is deleted."""
    names = {name for path in SOURCES for name in _names(ast.parse(path.read_text()))}
    assert KEPT_NAMES.keys() - names == set()
    assert [key for key in KEPT_WORDS if key[1] not in (ROOT / key[0]).read_text()] == []


def test_a_word_is_retired_once() -> None:
    assert RETIRED.keys() & RETIRED_AS_NAMES.keys() == set()


def _modules_without(path: Path) -> bool:
    return not (ast.get_docstring(ast.parse(path.read_text())) or "").strip()


def test_every_module_has_a_docstring() -> None:
    """A reader who opens a module finds its purpose in the first line."""
    assert [str(path.relative_to(ROOT)) for path in SOURCES if _modules_without(path)] == []


def _calls(tree: ast.AST) -> Iterator[str]:
    """Find the names of all called functions and methods."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func).rpartition(".")[2]


def test_command_opens_no_session() -> None:
    """A command leaves this to one call: a view reads in a transaction, an operation changes."""
    opening = [path.name for path in COMMANDS if SESSIONS & set(_calls(ast.parse(path.read_text())))]
    assert opening == []


def _imported_modules(function: ast.AST) -> dict[str, str]:
    """Return the names that are imported in a function, with the modules that they come from."""
    return {
        name.asname or name.name: f"{node.module}.{name.name}"
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }


def _nodes_outside_lambdas(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function without those of lambdas, which run after a confirmation."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.Lambda):
            yield child
            yield from _nodes_outside_lambdas(child)


def _house_calls(function: ast.FunctionDef | ast.AsyncFunctionDef) -> tuple[list[str], list[str]]:
    """Return the calls of a command to views, and to operations or domains. Parsing and predicates don't count."""
    imported = _imported_modules(function)
    views, others = list[str](), list[str]()
    for node in _nodes_outside_lambdas(function):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute)):
            continue
        root, _, name = ast.unparse(node.func).rpartition(".")
        module = imported.get(root or name, "")
        if module.startswith("dcmon.") and not module.startswith(PARSING) and not NO_WORK.match(name):
            (views if module.startswith("dcmon.commands.views") else others).append(ast.unparse(node.func))
    return views, others


def test_command_makes_one_call() -> None:
    """A command calls one operation, and one view to show its result; an action to confirm is a further one."""
    commands = {
        f"{path.stem}.{function.name}": _house_calls(function)
        for path in COMMANDS
        for function in _functions(ast.parse(path.read_text()))
        if function.decorator_list
    }
    assert {name: calls for name, calls in commands.items() if max(map(len, calls)) > 1} == {}


def _prints(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return sum(call in PRINTS for call in _calls(function))


def test_command_prints_once() -> None:
    """What a command shows is one page, table or row, made by a view. Only a Typer command prints."""
    functions = [
        (f"{path.stem}.{function.name}", function)
        for path in COMMANDS
        for function in _functions(ast.parse(path.read_text()))
    ]
    printing = {name: _prints(function) for name, function in functions}
    commands = {name for name, function in functions if function.decorator_list}
    assert {name for name, prints in printing.items() if prints > (name in commands)} == set()
