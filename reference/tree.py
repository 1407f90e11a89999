"""Read all commands with their help, arguments, options and examples."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import typer

from dcmon import cli, durations
from dcmon.commands.shared.help_texts import PANELS, in_order, usage_of, value_of


@dataclass(frozen=True)
class Parameter:
    """An argument or option: how it is typed, and its help."""

    typed: str
    help: str


@dataclass(frozen=True)
class CommandReference:
    """A command: its words, how it is typed, paragraphs of help, examples, arguments and options."""

    words: str
    usage: str
    paragraphs: list[str]
    examples: list[str]
    arguments: list[Parameter]
    options: list[Parameter]


@dataclass(frozen=True)
class Noun:
    """A noun or a command of one word, with its panel and sentence in `dcmon --help`, and its commands."""

    name: str
    panel: str
    sentence: str
    commands: list[CommandReference]


def nouns() -> list[Noun]:
    """Return all nouns, in the panels and the order of `dcmon --help`."""
    return [
        Noun(name, panel, cli.first_line(name), list(_commands(name, _load(name))))
        for panel, names in PANELS.items()
        for name in names
    ]


def global_options() -> list[Parameter]:
    """Return the options that stand before or after each command."""
    return [_option(parameter) for parameter in typer.main.get_command(cli.app).params if not _is_hidden(parameter)]


def exit_codes() -> dict[str, str]:
    """Return the exit codes with their meanings, as docs/operating.md lists them."""
    page = (Path(cli.__file__).parent.parent / "docs" / "operating.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", page.partition("## Exit codes")[2].partition("\n## ")[0], re.MULTILINE)
    return {code: meaning.replace("`", "") for code, meaning in rows}


def _load(name: str) -> Any:
    return typer.main.get_command(import_module(f"dcmon.commands.{name.replace('-', '_')}").app)


def _commands(words: str, command: Any) -> Iterator[CommandReference]:
    subcommands = getattr(command, "commands", None)
    if subcommands is None or command.invoke_without_command:
        yield _command(words, command)
    for verb, subcommand in (subcommands or {}).items():
        yield from _commands(f"{words} {verb}", subcommand)


def _command(words: str, command: Any) -> CommandReference:
    shown = [parameter for parameter in in_order(command.params) if not _is_hidden(parameter)]
    arguments = [parameter for parameter in shown if parameter.param_type_name == "argument"]
    options = [parameter for parameter in shown if parameter.param_type_name == "option"]
    text = command.help or ""
    paragraphs = [" ".join(part.split()) for part in re.sub(r"Example: dcmon .*", "", text).split("\n\n")]
    usage = " ".join(["dcmon", words, *(["[OPTIONS]"] if options else []), *map(usage_of, arguments)])
    return CommandReference(
        words, usage, [paragraph for paragraph in paragraphs if paragraph], re.findall(r"Example: (dcmon .+)", text),
        [Parameter(usage_of(argument), argument.help or "") for argument in arguments], list(map(_option, options)),
    )  # fmt: skip


def _is_hidden(parameter: Any) -> bool:
    return bool(getattr(parameter, "hidden", False))


def _option(option: Any) -> Parameter:
    names = ", ".join(sorted(option.opts, key=len))
    if option.secondary_opts:
        names += " / " + ", ".join(option.secondary_opts)
    if not option.is_flag and not option.count:
        names += f" {value_of(option)}"
    return Parameter(names, _with_default(option))


def _with_default(option: Any) -> str:
    default = getattr(option.default, "value", option.default)
    default = durations.to_text(default) if isinstance(default, timedelta) else default
    text = str(option.help or "")
    if option.is_flag or option.count or default in (None, "") or "efault" in text:
        return text
    return f"{text} Default: {default}."
