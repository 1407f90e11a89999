"""Man pages: dcmon(1), and one for each noun."""

from reference.tree import CommandReference, Noun, Parameter, exit_codes

SECTION = 1


def pages(nouns: list[Noun], global_options: list[Parameter]) -> dict[str, str]:
    """Return the source of each page by its file name."""
    return {f"dcmon.{SECTION}": _main(nouns, global_options)} | {
        f"dcmon-{noun.name}.{SECTION}": _of_noun(noun) for noun in nouns
    }


def _main(nouns: list[Noun], global_options: list[Parameter]) -> str:
    shown: list[str] = []
    lines = [
        *_head("dcmon", "watch machine-learning models in production"),
        ".SH SYNOPSIS", ".B dcmon", "[OPTIONS] COMMAND [ARGUMENTS]", ".SH DESCRIPTION",
        *_text("Samples come in over HTTP, Kafka or files; monitors run checks; alert rules judge the values."),
        ".SH COMMANDS",
    ]  # fmt: skip
    for noun in nouns:
        if noun.panel not in shown:
            shown.append(noun.panel)
            lines += [".SS", _escape(noun.panel)]
        lines += [".TP", f".BR dcmon\\-{_escape(noun.name)} (1)", *_text(noun.sentence)]
    lines += [".SH OPTIONS", *_parameters(global_options), ".SH EXIT STATUS"]
    for code, meaning in exit_codes().items():
        lines += [".TP", f".B {code}", *_text(meaning)]
    return "\n".join(lines) + "\n"


def _of_noun(noun: Noun) -> str:
    lines = _head(f"dcmon-{noun.name}", noun.sentence.rstrip("."))
    lines.append(".SH SYNOPSIS")
    for command in noun.commands:
        lines += [*([".br"] if command is not noun.commands[0] else []), *_text(command.usage)]
    lines.append(".SH DESCRIPTION")
    for command in noun.commands:
        lines += _command(command)
    lines += [".SH SEE ALSO", ".BR dcmon (1)"]
    return "\n".join(lines) + "\n"


def _command(command: CommandReference) -> list[str]:
    lines = [f'.SS "dcmon {_escape(command.words)}"']
    for number, paragraph in enumerate(command.paragraphs):
        lines += [*([".PP"] if number else []), *_text(paragraph)]
    lines += _parameters([*command.arguments, *command.options])
    for example in command.examples:
        lines += [".PP", "Example:", ".PP", ".RS 4", ".nf", *_text(example), ".fi", ".RE"]
    return lines


def _parameters(parameters: list[Parameter]) -> list[str]:
    return [
        line for option in parameters for line in (".TP", f".B {_escape(option.typed)}", *_text(option.help or "-"))
    ]


def _head(name: str, sentence: str) -> list[str]:
    return [
        ".\\\" Written by \"make reference\" from the commands of dcmon.",
        f'.TH {_escape(name).upper()} {SECTION} "" "dcmon" "User Commands"', ".SH NAME",
        f"{_escape(name)} \\- {_escape(sentence)}",
    ]  # fmt: skip


def _text(text: str) -> list[str]:
    """Return a line of text in which nothing is a request of roff."""
    return [_escape(text)]


def _escape(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq").replace("…", "...")
    escaped = escaped.replace("'", "\\(aq").replace("`", "\\(ga").replace("^", "\\(ha").replace("~", "\\(ti")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped
