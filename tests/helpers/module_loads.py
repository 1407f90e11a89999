"""Find which packages each command loads: one process forks a child for each command.

`python -m tests.helpers.module_loads` imports what each command's function imports and runs none. With commands as
arguments it runs these. It prints the loaded packages as JSON, by command.
"""

import ast
import gc
import inspect
import json
import os
import sys
import textwrap
import traceback
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import typer

from dcmon import cli

# Loaded once for all commands, to save time. A heavy module that one of these loads counts for each command.
LIGHT = ("dcmon.app", "dcmon.db.tables.org", "dcmon.settings", "psycopg", "rich.table", "sqlalchemy")
SUCCESS = (None, 0, 7)  # 7: `dcmon status` has found that dcmon does not run
NAMES = sorted(path.stem for path in cli.COMMANDS.glob("[a-z]*.py"))


def commands() -> dict[str, Callable[..., Any]]:
    """Return the function of each command, by the words of the command line."""
    functions = {}
    for name in NAMES:
        command = typer.main.get_command(import_module(f"dcmon.commands.{name}").app)
        subcommands = getattr(command, "commands", None) or {"": command}
        for verb, subcommand in subcommands.items():
            functions[f"{name} {verb}".strip()] = inspect.unwrap(subcommand.callback)
    return functions


def import_what_it_uses(function: Callable[..., Any], visited: set[str] | None = None) -> None:
    """Import what a command's function imports, and the functions of its module that it names."""
    visited = set() if visited is None else visited
    module = sys.modules[function.__module__]
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            exec(ast.unparse(node), {})
        elif isinstance(node, ast.Name) and node.id not in visited:
            visited.add(node.id)
            if inspect.isfunction(used := getattr(module, node.id, None)) and used.__module__ == module.__name__:
                import_what_it_uses(used, visited)


def run(command: str) -> None:
    """Run a command without showing its output. Raises RuntimeError if it fails."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.argv = ["dcmon", *command.split(), "-o", "table"]
    try:
        cli.main()
    except SystemExit as end:
        if end.code not in SUCCESS:
            raise RuntimeError(f"{command!r} ended with exit code {end.code}.") from end


def loaded_packages(action: Callable[[], None]) -> list[str]:
    """Call a function in a child; return the packages that the child has loaded then."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            action()
            packages = sorted({name.partition(".")[0] for name in sys.modules})
            os.write(writer, json.dumps(packages).encode())  # fits into the pipe's buffer
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        text = pipe.read()
    os.wait()
    loaded: list[str] = json.loads(text)  # empty, and so no JSON, if the child failed
    return loaded


def main() -> None:
    """Print the packages that each command loads."""
    for module in LIGHT:
        import_module(module)
    actions = {name: partial(run, name) for name in sys.argv[1:]} or {
        name: partial(import_what_it_uses, function) for name, function in commands().items()
    }
    gc.freeze()
    print(json.dumps({name: loaded_packages(action) for name, action in actions.items()}))


if __name__ == "__main__":
    main()
