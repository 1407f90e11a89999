"""How `--help` shows commands: in panels, with examples on lines of their own, and many options in groups."""

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from dcmon import durations
from dcmon.commands.shared import stdin_names
from dcmon.commands.shared.choices import OneOf

EXAMPLE = re.compile(r"\s*Example: (dcmon .+)")
# The groups by the names of parameters.
GROUPS = {
    "Version and columns": {"version", "feature", "additional", "class_"},
    "From a file": {
        "from_", "map_", "id_", "time", "prediction", "probabilities", "label", "format_", "reference", "write",
    },
    "Rows of files": {"model", "version", "labels", "map_", "ignore_extra", "set_", "reset"},
    "How files are written": {"delimiter", "encoding", "decimal", "thousands", "null", "date_order", "time_zone"},
    "What is computed": {
        "check", "scorer", "feature", "class_", "aggregation", "max_features", "metric", "param", "filter_", "compare",
        "rows", "reset",
    },
    "Windows": {
        "label_ratio", "label_delay", "time_zone", "frequency_", "aggregation_window", "lookback", "at", "since",
        "until", "wait", "timeout",
    },
    "Default monitors": {"defaults", "no_defaults"},
    "Limits": {
        "samples_per_minute", "labels_per_minute", "sample_bytes_per_minute", "label_bytes_per_minute", "max_models",
        "max_versions_per_model", "max_monitors", "max_rules", "max_receivers", "max_tokens", "max_users",
    },
    "Retention": {"samples", "results"},
    "Reports": {"fail_on", "allow_no_verdict", "junit", "github_summary", "github_annotations"},
}  # fmt: skip
GROUPS_OF_COMMANDS = {
    "model create": ("Version and columns", "From a file", "Windows", "Default monitors", "How files are written"),
    "monitor create": ("What is computed", "Windows"),
    "monitor set": ("What is computed", "Windows"),
    "monitor run": ("Windows", "Reports"),
    "org set": ("Limits", "Retention", "Default monitors"),
    "ingest file": ("Rows of files", "How files are written"),
    "source create": ("Rows of files", "How files are written"),
    "source set": ("Rows of files", "How files are written"),
}
# The commands of `dcmon --help`, by what a person wants to do.
PANELS = {
    "Run": ("demo", "up", "down", "serve", "worker", "migrate"),
    "Models and data": (
        "model", "version", "reference", "ingest", "source", "sample", "quarantine", "dead-letter", "prune",
    ),
    "Monitoring and alerts": (
        "monitor", "check", "rule", "alert", "silence", "mute", "receiver", "notification", "report",
    ),
    "Monitoring as code": ("export", "validate", "plan", "apply"),
    "Organizations": ("org", "member", "invitation", "token", "audit-log"),
    "Operate": ("status", "doctor", "logs", "wait", "audit", "backup", "adopt", "debug", "generate"),
    "Settings and documentation": ("config", "profile", "secret-key", "docs"),
}  # fmt: skip
METAVARS = {  # what stands for the value of an option, by the name of its parameter
    "additional": "NAME:TYPE", "aggregation": "METHOD", "alert": "ALERT", "author": "USER", "by": "USER",
    "cap": "N|none", "check": "CHECK", "class_": "CLASS", "condition": "CONDITION", "days": "DAYS",
    "delimiter": "CHARACTER",
    "encoding": "ENCODING", "feature": "NAME", "filter_": "CONDITION", "group": "GROUP", "header": "HEADER",
    "host": "ADDRESS", "hours": "HH:MM-HH:MM", "id_": "COLUMN", "image": "IMAGE", "key": "KEY", "label": "COLUMN",
    "map_": "COLUMN=FIELD", "match": "MATCHER", "max_rejected": "N|N%", "message": "ID", "metric": "METRIC",
    "model": "MODEL", "name": "NAME", "namespace": "NAMESPACE", "new_name": "NAME", "object_": "OBJECT", "org": "ORG",
    "owner": "EMAIL", "param": "NAME=VALUE", "passphrase_file": "FILE", "prediction": "COLUMN",
    "probabilities": "COLUMN", "profile": "PROFILE", "receiver": "RECEIVER", "reference": "FILE", "region": "REGION",
    "rename": "NAME", "repeat": "DURATION|none", "results": "DURATION|none", "rows": "N|all|default",
    "rule": "CONDITION", "samples": "DURATION|none", "scorer": "SCORER", "set_": "FIELD=VALUE", "source": "SOURCE",
    "thousands": "CHARACTER", "time": "COLUMN", "topic": "TOPIC", "user": "EMAIL", "version": "VERSION",
    "from_": "FILE", "null": "TEXT", "note": "TEXT", "reason": "TEXT", "description": "TEXT", "time_zone": "ZONE",
}  # fmt: skip
VALUES = {"int": "N", "int range": "N", "float": "NUMBER", "path": "FILE", "file": "FILE"}  # by the name of a type
TWO_WORDS = ("version",)  # one object, that may be typed in two words
# The options that many commands have: they are the last of each, in this order.
LAST = ("sort", "limit", "all_orgs", "watch", "replace", "by", "dry_run", "yes")
# What all `show` say of their data; as in kubectl.
SHAPE = "With -o json or yaml, one of them gives an object, and several give a list."
UNWRAPPED = "\b"  # before a paragraph whose lines stay as they are


def prepare(command: Any, words: str) -> None:
    """Change how a command, or all commands of a group, show their help; several names may come from stdin.

    `words`: those of the command.
    """
    for name, subcommand in getattr(command, "commands", {}).items():
        prepare(subcommand, f"{words} {name}")
    if command.help and (examples := EXAMPLE.findall(command.help)):
        title = "Example:" if len(examples) == 1 else "Examples:"
        lines = "\n".join(f"  {example}" for example in examples)
        command.help = f"{EXAMPLE.sub('', command.help).rstrip()}\n\n{UNWRAPPED}\n{title}\n{lines}"
    stdin_names.accept(command)
    if words.endswith(" show") and any(parameter.nargs == -1 for parameter in command.params):
        command.help = _with_paragraph(command.help or "", SHAPE)
    command.params = in_order(command.params)
    prepare_parameters(command)
    if words in GROUPS_OF_COMMANDS:
        command.format_options = partial(_format_options, command, GROUPS_OF_COMMANDS[words])


def _with_paragraph(text: str, paragraph: str) -> str:
    """Return a help with a paragraph before its examples."""
    before, mark, examples = text.partition(UNWRAPPED)
    return f"{before.rstrip()}\n\n{paragraph}\n\n{mark}{examples}"


def in_order(parameters: Sequence[Any]) -> list[Any]:
    """Return the parameters of a command with those that many commands have at the end, in one order."""
    last = {name: number for number, name in enumerate(LAST)}
    return sorted(parameters, key=lambda parameter: last.get(parameter.name, -1))


def prepare_parameters(command: Any) -> None:
    """Let the parameters of a command show values in one way, TEXT, N, FILE or choices, and defaults as typed."""
    for parameter in command.params:
        if isinstance(parameter.default, timedelta) and parameter.show_default:
            parameter.show_default = False
            parameter.help = f"{parameter.help}  [default: {durations.to_text(parameter.default)}]"
        text = usage_of(parameter) if parameter.param_type_name == "argument" else value_of(parameter)
        parameter.make_metavar = partial(_fixed, text)
        if getattr(parameter, "hidden", False) and parameter.param_type_name == "argument":
            parameter.get_usage_pieces = partial(_fixed, [])


def write_panels(formatter: Any, first_line: Callable[[str], str]) -> None:
    """Write all commands in panels; the first column is as wide in each of them."""
    width = max(len(name) for names in PANELS.values() for name in names)
    for title, names in PANELS.items():
        with formatter.section(title):
            formatter.write_dl([(name.ljust(width), first_line(name)) for name in names])


def usage_of(argument: Any) -> str:
    """Return an argument as in a synopsis: in brackets if it may be left out, with dots if it can be repeated."""
    name = argument.metavar or "|".join(choices_of(argument)) or argument.name.upper().strip("_")
    is_one = argument.nargs == 1 or argument.name in TWO_WORDS
    name = name if is_one or name.endswith("...") else f"{name}..."
    return name if argument.required else f"[{name}]"


def value_of(option: Any) -> str:
    """Return what stands for the value of an option: its choices, or a word for the type."""
    if option.metavar:
        return str(option.metavar)
    kind = VALUES.get(option.type.name)
    return "|".join(choices_of(option)) or kind or METAVARS.get(option.name, "TEXT")


def choices_of(parameter: Any) -> list[str]:
    """Return the fixed words that one value of a parameter can be (choices.OneOf); none if it is free."""
    parse = getattr(parameter.type, "func", None)
    return parse.choices if isinstance(parse, OneOf) else []


def name_of(parameter: Any) -> str:
    """Return what messages call a parameter: --severity, MONITOR."""
    if parameter.param_type_name == "argument":
        is_named = parameter.metavar or not choices_of(parameter)
        return usage_of(parameter).strip("[].") if is_named else str(parameter.name).upper()
    return str(next((name for name in parameter.opts if name.startswith("--")), parameter.opts[0]))


def _fixed(value: Any, *_: Any, **__: Any) -> Any:
    return value


def _format_options(command: Any, titles: Sequence[str], context: Any, formatter: Any) -> None:
    """Write the arguments, each group of options, and the options without a group."""
    groups: dict[str, list[Any]] = {title: [] for title in ("Arguments", *titles, "Options")}
    for parameter in command.get_params(context):
        if (record := parameter.get_help_record(context)) is not None:
            own = next((title for title in titles if parameter.name in GROUPS[title]), "Options")
            groups["Arguments" if parameter.param_type_name == "argument" else own].append(record)
    for title, records in groups.items():
        if records:
            with formatter.section(title):
                formatter.write_dl(records)
