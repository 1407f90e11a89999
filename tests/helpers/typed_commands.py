"""Commands that dcmon tells a person to type: they are parsed, not run."""

import re
import shlex
from collections.abc import Sequence

import typer

from dcmon import cli

PROGRAMS = {  # other programs that may be named
    "chmod", "date", "du", "env", "export", "grep", "install", "kafka-topics.sh", "kill", "ls", "openssl", "pip",
    "psql", "redis-cli", "ss", "sudo", "timedatectl", "truncate", "vacuumdb",
}  # fmt: skip
# What only shows that something is wrong, and mends nothing by itself.
BARE = re.compile(r"dcmon( --org \S+)? (receiver test|status)( |$)")


def parse(command_arguments: Sequence[str]) -> None:
    """Parse the options and values of a command line without running it. Raises UsageError."""
    command = typer.main.get_command(cli.app)
    context = command.make_context("dcmon", cli.globals_first(list(command_arguments)))
    while isinstance(command, typer.core.TyperGroup) and (remaining := [*context._protected_args, *context.args]):
        name, command, arguments = command.resolve_command(context, remaining)
        context = command.make_context(name, arguments, parent=context)


def require_mending(command: str) -> None:
    """Check the command of a finding: dcmon has it, with all that it needs, and it does more than show help or test."""
    parts = [part.strip() for part in command.split("&&")]
    assert BARE.match(parts[0]) is None, command
    assert "--help" not in command
    for part in parts:
        program, *arguments = shlex.split(part, comments=True)
        if program == "dcmon":
            parse(arguments)
        else:
            assert program in PROGRAMS, command
