"""The process behind tests.helpers.command_line: load dcmon once and fork a child for each command."""

import atexit
import gc
import json
import os
import pkgutil
import sys
import threading
import traceback
from importlib import import_module
from typing import Any, NoReturn

import dcmon
from dcmon.__main__ import main

# Their import loads deepchecks, or they are programs. A command that needs one loads it in the child.
NOT_LOADED = ("dcmon.__main__", "dcmon.checks.fork_server", "dcmon.checks.library", "dcmon.checks.worker")


def run_in_child(request: dict[str, Any]) -> NoReturn:
    """Run a command in this process: set directory, output, environment and arguments, then run dcmon.

    The process ends as Python ends, but doesn't free its objects one by one: that took four fifths of a command.
    """
    code: object = None
    try:
        _run(request)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    if isinstance(code, str):
        print(code, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else code is not None)


def _run(request: dict[str, Any]) -> None:
    os.chdir(request["cwd"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for target, path in enumerate(request["output"], start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), target)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["dcmon", *request["arguments"]]
    main()


def serve() -> None:
    """Respond to each request, a line of JSON, with the exit code of the command."""
    for module in pkgutil.walk_packages(dcmon.__path__, "dcmon."):
        if not module.name.startswith(NOT_LOADED):
            import_module(module.name)
    gc.freeze()
    with open(0, buffering=1, closefd=False) as requests:
        for line in iter(requests.readline, ""):
            request = json.loads(line)
            child = os.fork()
            if child == 0:
                run_in_child(request)
            _report(child)


def _report(child: int) -> None:
    _, status = os.waitpid(child, 0)
    os.write(1, b"%d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    serve()
