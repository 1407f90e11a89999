"""Completion in shells: which live names or choices each parameter of each command offers.

The tables go by the names of parameters, because the same name means the same in all commands.
"""

import ast
import os
import re
from collections.abc import Callable, Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from dcmon import states
from dcmon.commands.shared import list_fields
from dcmon.commands.shared.help_texts import choices_of

Choices = Callable[[], Iterable[str]]
TYPED = "dcmon.typed"  # the words before the one that is completed, in a context's meta
VARIABLE = "_DCMON_COMPLETE"
COMMANDS = Path(__file__).parent.parent


def _check_names() -> list[str]:
    from dcmon.checks import catalogue

    return catalogue.class_names()


def _time_zones() -> list[str]:
    import zoneinfo

    return sorted(zoneinfo.available_timezones())


def _profiles() -> list[str]:
    from dcmon import profiles

    return list(profiles.read().profiles)


def _settings() -> list[str]:
    from dcmon import setting_names
    from dcmon.settings import Settings

    return sorted(variable.name for variable in setting_names.variables(Settings))


def _pages() -> list[str]:
    from dcmon.commands.operations import docs

    return docs.names()


def words_of(text: str) -> Choices:
    """Return choices that are written as words with spaces between them."""
    return partial(str.split, text)


# Live names (live_names.QUERIES) by parameter. A noun's own objects are called "name" or "names".
LIVE = {
    "org": "orgs", "model": "models", "model_word": "models", "monitor": "monitors", "version": "versions",
    "receiver": "receivers", "email": "members", "emails": "members",
    "user": "members", "alert": "open_alerts", "alert_id": "alerts", "alert_ids": "open_alerts",
    "versions": "full_versions",
    "silence_ids": "silences", "notification_ids": "notifications", "row_ids": "quarantined", "prefixes": "tokens",
    "prefix": "tokens",
}  # fmt: skip
LIVE_OF_COMMAND = {
    "member create email": "", "member invite email": "", "invitation delete emails": "invitations",
    "invitation show emails": "invitations",
    "notification retry ids": "notifications", "quarantine delete ids": "quarantined",
    "quarantine retry ids": "quarantined", "model create version": "", "monitor run names": "monitors_of_models",
    "rule backtest name": "rules", "monitor create check": "checks_of_models", "config show names": "",
    "alert reopen alert_ids": "alerts", "alert show alert_ids": "alerts", "version rename version": "full_versions",
    "version copy version": "full_versions", "model set-defaults names": "models",
    "monitor create feature": "features", "monitor set feature": "features",
    "export models": "models",
}  # fmt: skip
OWN_OBJECTS = {
    "model": "models", "monitor": "monitors", "mute": "mute_times", "org": "orgs", "rule": "rules",
    "source": "sources", "receiver": "receivers",
}  # fmt: skip
CHOICES: dict[str, Choices] = {
    "defaults": partial(list, states.DefaultSet), "topic": partial(list, states.RowKind),
    "time_zone": _time_zones, "delimiter": words_of(", ; tab pipe"),
    "encoding": words_of("utf-8 utf-16 windows-1252 latin-1"), "rows": words_of("all default"),
    "conditions": words_of("lag=0 due=0 notifications=0 health=0 migrated"),
    "days": words_of("daily mon-fri sat,sun"), "repeat": words_of("none 4h 24h"),
    "cap": words_of("none"), "term": words_of("none inherit 30d 90d 1y"),
    "aggregation": words_of("max mean l3_weighted weighted none"),
    "matchers": words_of("model= version= monitor= check= rule= severity= alert="),
}  # fmt: skip
CHOICES["match"] = CHOICES["matchers"]
CHOICES["profile"] = _profiles
CHOICES["page"] = _pages
CHOICES_OF_COMMAND: dict[str, Choices] = {
    "monitor create check": _check_names, "check show names": _check_names, "config show names": _settings,
    "profile show names": _profiles, "profile use name": _profiles, "profile delete names": _profiles,
    "profile set name": _profiles, "profile rename name": _profiles, "ingest seek to": words_of("beginning end"),
    "model set-defaults names": partial(list, states.DefaultSet),
}  # fmt: skip
# What only a person knows: names of new objects, texts, numbers, times, columns of files, and files themselves, which
# the shell completes.
FREE = frozenset({
    "additional", "at", "author", "by", "class_", "condition", "description", "entry_ids", "every", "expires",
    "feature", "file", "files", "filter_", "for_", "from_", "github_summary_file", "grep", "group", "header",
    "host", "hours", "id_", "ids", "image", "junit", "key", "label", "label_bytes_per_minute",
    "label_delay", "labels_per_minute", "lateness", "longest", "lookback", "map_", "max_models", "max_monitors",
    "max_receivers", "max_rejected", "max_rules", "max_tokens", "max_users", "max_versions_per_model", "message",
    "metric", "namespace", "new_name", "note", "null", "object_", "only", "owner", "param", "passphrase_file",
    "path", "paths", "prediction", "probabilities", "reason", "reference", "region", "rename", "report", "results",
    "rule", "sample_bytes_per_minute", "sample_id", "samples", "samples_per_minute", "scorer", "set_", "since",
    "source", "target", "thousands", "time", "timeout", "to", "until", "url", "values", "watch", "write",
})  # fmt: skip
CREATING = ("create", "import")  # verbs whose "name" is that of a new object


def attach(command: Any, words: tuple[str, ...]) -> None:
    """Let all parameters of a command, or of the commands of a group, complete. `words`: those of the command."""
    for name, subcommand in getattr(command, "commands", {}).items():
        attach(subcommand, (*words, name))
    for parameter in command.params:
        if choices_of(parameter) or offers(words, parameter.name) is not None:
            parameter._custom_shell_complete = partial(_complete, words)
        if parameter.name == "sort":
            command.shell_complete = partial(_complete_of_list, command.shell_complete, parameter)


def _complete_of_list(complete: Callable[..., Any], sort: Any, context: Any, incomplete: str) -> Any:
    """Complete the options of a list; after --sort a field with - before it, which looks like an option."""
    if context.meta.get(TYPED, [])[-1:] == ["--sort"]:
        return sort.shell_complete(context, incomplete)
    return complete(context, incomplete)


def attach_globals(root: Any, typed: list[str]) -> None:
    """Let the global options complete; the fields are those of the typed command."""
    words = tuple(word for word in typed if not word.startswith("-"))[:2]
    for parameter in root.params:
        if choices_of(parameter) or parameter.name in ("org", "fields", "profile"):
            parameter._custom_shell_complete = partial(_complete, words or ("",))


def offers(words: tuple[str, ...], parameter: str) -> tuple[str, Choices | None] | None:
    """Return the kind of live names and the choices of a parameter; None if it has neither."""
    key = " ".join((*words, parameter))
    kind = LIVE_OF_COMMAND.get(key, LIVE.get(parameter, ""))
    if parameter in ("name", "names") and key not in LIVE_OF_COMMAND and words[-1] not in CREATING:
        kind = OWN_OBJECTS.get(words[0], "")
    if parameter in ("sort", "fields"):
        return "", partial(_fields, words)
    choices = CHOICES_OF_COMMAND.get(key, CHOICES.get(parameter))
    return (kind, choices) if kind or choices else None


def is_free(words: tuple[str, ...], parameter: str) -> bool:
    """Return True if nothing can be offered for a parameter."""
    return parameter in FREE or (parameter == "name" and words[-1] in CREATING) or " ".join((*words, parameter)) in (
        key for key, kind in LIVE_OF_COMMAND.items() if not kind
    )  # fmt: skip


def completed_words(
    arguments: list[str], global_options: Collection[str], globals_first: Callable[[list[str]], list[str]]
) -> list[str]:
    """Return typed words in the order in which they are parsed: global options first, or alone if one is completed."""
    return arguments[-1:] if arguments[-1:] and arguments[-1] in global_options else globals_first(arguments)


def _complete(words: tuple[str, ...], context: Any, parameter: Any, incomplete: str) -> list[str]:
    kind, choices = offers(words, parameter.name) or ("", None)
    try:
        offered = choices_of(parameter) or (list(choices()) if choices is not None else [])
        offered += _live_names(words, context, kind, incomplete) if kind else []
        if parameter.name == "sort" and incomplete.startswith("-"):
            offered = [f"-{field}" for field in offered]
    except Exception:  # for example, a file of profiles can't be read: a completion says nothing about it
        offered = []
    return _matching(dict.fromkeys(map(str, offered)), incomplete)


def _live_names(words: tuple[str, ...], context: Any, kind: str, incomplete: str) -> list[str]:
    from dcmon import profiles
    from dcmon.app import App
    from dcmon.commands.shared import live_names

    typed = context.find_root().params
    profiles.choose(typed.get("profile"))
    model = context.params.get("model") if words[0] != "model" else None
    if kind == "features" and model is None:  # of monitor set MODEL/MONITOR
        model = str(context.params.get("name") or "").rpartition("/")[0] or None
    return live_names.read(App(org=typed.get("org")), kind, typed.get("org"), model, incomplete)


def _matching(offered: Iterable[str], incomplete: str) -> list[str]:
    """Return what begins as typed, in lower or upper case. bash needs an escape before a space; others add it."""
    matching = [name for name in offered if name.lower().startswith(incomplete.lower())]
    if os.environ.get(VARIABLE) != "complete_bash":
        return matching
    return ["".join(f"\\{sign}" if sign in " '\"\\()&;|<>$`*?[]!#" else sign for sign in name) for name in matching]


def _fields(words: tuple[str, ...]) -> list[str]:
    """Return the fields of a list, or those that a command's table shows: the texts in its variables of columns."""
    if (of_list := list_fields.FIELDS.get(" ".join(words[:2]))) is not None:
        return of_list.split()
    path = COMMANDS / f"{words[0].replace('-', '_')}.py"
    if not path.is_file():
        return []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = [constant for node in ast.walk(tree) if _names_columns(node) for constant in ast.walk(node)]
    texts = {constant.value for constant in constants if isinstance(constant, ast.Constant)}
    return sorted(text for text in texts if isinstance(text, str) and text.isidentifier())


def _names_columns(node: ast.AST) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
    return any(re.search("columns|narrow|wide", ast.unparse(target).lower()) for target in targets)
