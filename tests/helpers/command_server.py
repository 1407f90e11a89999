"""The process behind tests.helpers.command_line: load dcmon once and fork a child for each command."""

import atexit
import gc
import json
import os
import pkgutil
import sys
from importlib import import_module
from typing import Any

import dcmon
from dcmon.__main__ import main
from dcmon.checks.worker_pool import FORK_SERVER
from dcmon.settings import Evaluate

# Their import loads deepchecks, or they are programs. A command that needs one loads it in the child.
NOT_LOADED = ("__main__", "datasets", "fork_server", "introspection", "runner", "scoring", "worker")
EVALUATING = {"run", "backfill"}  # commands that run checks


def run_in_child(request: dict[str, Any]) -> None:
    """Run a command in this process: set directory, output, environment and arguments, then run dcmon."""
    atexit.unregister(FORK_SERVER.stop)  # it serves the next commands
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
        if module.name.rpartition(".")[2] not in NOT_LOADED:
            import_module(module.name)
    gc.freeze()
    is_ready = False
    with open(0, buffering=1, closefd=False) as requests:
        for line in iter(requests.readline, ""):
            request = json.loads(line)
            if not is_ready and EVALUATING.intersection(request["arguments"]):
                _start_fork_server()
                is_ready = True
            child = os.fork()
            if child == 0:
                run_in_child(request)
                return
            _report(child)


def _start_fork_server() -> None:
    """Load deepchecks once for all commands: they inherit the connection to the process that forks check workers."""
    pid, connection = FORK_SERVER.fork(Evaluate())
    connection.close()
    FORK_SERVER.status(pid)


def _report(child: int) -> None:
    _, status = os.waitpid(child, 0)
    os.write(1, b"%d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    serve()
