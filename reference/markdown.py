"""The page docs/commands.md."""

from reference.tree import CommandReference, Noun, Parameter

HEAD = """# All commands

`make reference` writes this page and the man pages from the commands themselves. Exit codes, formats and what all lists
have are in [operating.md](operating.md#exit-codes). `man dcmon` and `man dcmon-alert` show the same in a terminal.
"""


def page(nouns: list[Noun], global_options: list[Parameter]) -> str:
    """Return the page."""
    parts = [HEAD, _contents(nouns), "## Options of all commands\n", _parameters(global_options)]
    for noun in nouns:
        parts += [f"## dcmon {noun.name}\n", f"{noun.sentence}\n", *map(_command, noun.commands)]
    return "\n".join(parts)


def _contents(nouns: list[Noun]) -> str:
    """Return links to all nouns, in the panels of `dcmon --help`."""
    panels: dict[str, list[str]] = {}
    for noun in nouns:
        panels.setdefault(noun.panel, []).append(f"[{noun.name}](#dcmon-{noun.name})")
    return "".join(f"- {panel}: {', '.join(links)}\n" for panel, links in panels.items())


def _command(command: CommandReference) -> str:
    usage = command.usage.replace("…", "...")
    parts = [f"### {command.words}\n", "\n\n".join(command.paragraphs) + "\n", f"```text\n{usage}\n```"]
    parts.append("\n" + _parameters([*command.arguments, *command.options]))
    if command.examples:
        parts.append("```console\n" + "\n".join(command.examples) + "\n```\n")
    return "\n".join(parts)


def _parameters(parameters: list[Parameter]) -> str:
    return "".join(f"- `{parameter.typed}`: {parameter.help}\n" for parameter in parameters)
