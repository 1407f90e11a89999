"""Create Typer apps: for a noun with verbs, and for a single command."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from dcmon.nearest import listed, nearest, one_of
from dcmon.states import DefaultSet

# Verbs of earlier releases, which still work.
OLD_VERBS = {
    "add": "create", "remove": "delete", "revoke": "delete", "end": "delete", "clear": "delete", "drop": "delete",
}  # fmt: skip
# Words of commands of earlier releases, which still work.
OLD_WORDS = {
    ("webhook",): ("receiver",), ("notification", "pause"): ("receiver", "pause"),
    ("notification", "resume"): ("receiver", "resume"), ("org", "set-limits"): ("org", "set"),
    ("org", "set-retention"): ("org", "set"),
}  # fmt: skip
# Commands of earlier releases whose choice was an argument, the last one or the first, with its option now.
OLD_CHOICES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("org", "set-defaults"): ("org", "set", "--defaults"), ("member", "set-role"): ("member", "set", "--role"),
}  # fmt: skip
# Options of earlier releases, which still work, by the first word of their commands.
_FROM, _TO = {"--from": "--since"}, {"--to": "--until"}
OLD_OPTIONS = {
    **{
        noun: {**_FROM, **_TO}
        for noun in ("alert", "audit-log", "dead-letter", "logs", "monitor", "quarantine", "sample", "silence")
    },
    "receiver": _TO,
    "rule": {**_FROM, **_TO},
    "report": {"--file": "--out", "-f": "--out", **_FROM, **_TO},
    "generate": {"--output-dir": "--out", "--overwrite": "--replace"},
    "model": {"--write": "--out"},
    "mute": {"--tz": "--time-zone"},
}
# Verbs of other tools, for suggestions.
SYNONYMS = {
    "new": "create", "make": "create", "register": "create", "rm": "delete", "del": "delete", "destroy": "delete",
    "ls": "list", "ps": "list", "get": "list show", "describe": "show", "inspect": "show", "view": "show",
    "info": "show", "cat": "show", "update": "set", "edit": "set", "change": "set", "modify": "set", "alter": "set",
    "patch": "set", "configure": "set", "mv": "rename", "move": "rename", "cp": "copy", "insert": "create",
    "erase": "delete", "acknowledge": "ack", "stop": "pause", "disable": "pause", "start": "resume", "enable": "resume",
    "unpause": "resume",
}  # fmt: skip
LONG = 8  # letters of a word in which two may be wrong; in a shorter one it is another word


LONGEST_SENTENCE = 1_000  # characters: no sentence is cut


class SuggestingGroup(TyperGroup):
    """A group that accepts old verbs, and suggests the nearest command for an unknown one."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command with the first sentence of its help, which is folded and never cut."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        rows = [
            (name, command.get_short_help_str(LONGEST_SENTENCE))
            for name, command in commands.items()
            if not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        known = cmd_name in self.commands or OLD_VERBS.get(cmd_name) not in self.commands
        return super().get_command(ctx, cmd_name if known else OLD_VERBS[cmd_name])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a typed command. `help COMMAND` is `COMMAND --help`, as in git; a shell completes it as COMMAND."""
        if args[:1] == ["help"]:
            if args[1:]:
                return self.resolve_command(ctx, [*args[1:], *([] if ctx.resilient_parsing else ["--help"])])
            if ctx.resilient_parsing:
                return None, None, []
            typer.echo(ctx.get_help())
            ctx.exit()
        self.suggest_commands = False
        try:
            return super().resolve_command(ctx, args)
        except TyperException as error:
            if error.message.startswith("No such command"):
                hint = self._hint(ctx, args[0]) or self._verbs(ctx)
                listing = f'"{ctx.command_path} --help" lists the commands.'
                error.message = f"There is no command {args[0]!r}.{hint} {listing}"
            raise

    def _hint(self, ctx: Any, typed: str) -> str:
        commands = self.list_commands(ctx)
        verb = SYNONYMS.get(typed, typed).split()[0] if typed else ""
        nouns = [noun for noun in commands if _has_verb(self.get_command(ctx, noun), verb)]
        if nouns and typed not in commands:
            return f" A noun comes first, as in '{ctx.command_path} {nouns[0]} {verb}'."
        old = {} if ctx.parent else {words[0]: new[0] for words, new in OLD_WORDS.items() if len(words) == 1}
        suggested = [old.get(name, name) for name in suggestions(typed, [*commands, *old])]
        return f" Do you mean {listed(map(repr, suggested))}?" if suggested else ""

    def _verbs(self, ctx: Any) -> str:
        """Return the sentence with the commands of a noun; of dcmon itself there are too many."""
        return one_of(sorted(self.list_commands(ctx))) if ctx.parent else ""


def _has_verb(command: Any, verb: str) -> bool:
    return verb in getattr(command, "commands", ())


def with_new_options(arguments: Sequence[str], old_options: Mapping[str, str]) -> list[str]:
    """Return typed arguments with the present names of options."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    parted = (word.partition("=") for word in arguments[:end])
    return ["".join([old_options.get(name, name), *value]) for name, *value in parted] + list(arguments[end:])


def with_new_words(arguments: Sequence[str]) -> list[str]:
    """Return a typed command with the present words of its noun and verb, also in "NOUN help VERB"."""
    if arguments[1:2] == ["help"] and arguments[2:]:
        noun, *others = with_new_words([arguments[0], *arguments[2:]])
        return [noun, "help", *others]
    for number in (2, 1):
        if new := OLD_WORDS.get(tuple(arguments[:number])):
            return [*new, *arguments[number:]]
    if (as_option := OLD_CHOICES.get(tuple(arguments[:2]))) is not None:
        return _with_choice_as_option(as_option, arguments[2:])
    return list(arguments)


def _with_choice_as_option(command: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """Return the words of a command whose last argument, or first if that alone is a set of defaults, is an option.

    A single argument is the choice only where the object may be left out, as an organization may.
    """
    *words, option = command
    typed = [number for number, word in enumerate(arguments) if not word.startswith("-")]
    if len(typed) < (1 if option == "--defaults" else 2):
        return [*words, *arguments]
    first, last = (arguments[number].lower() in tuple(DefaultSet) for number in (typed[0], typed[-1]))
    choice = typed[0] if first and not last else typed[-1]
    others = [*arguments[:choice], *arguments[choice + 1 :]]
    end = others.index("--") if "--" in others else len(others)  # after it, an option would be an argument
    return [*words, *others[:end], option, arguments[choice], *others[end:]]


def suggestions(typed: str, known: Sequence[str]) -> list[str]:
    """Return the commands that a mistyped one may mean, the best first; at most two.

    Another word, as "rename" is for "resume", is not meant: what it would do is not what was typed.
    """
    if synonyms := [verb for verb in SYNONYMS.get(typed, "").split() if verb in known]:
        return synonyms
    longer = [name for name in known if len(typed) > 2 and name.startswith(typed)]
    return longer[:2] or [name for name in [nearest(typed, known)] if name is not None and _is_mistyped(typed, name)]


def _is_mistyped(typed: str, name: str) -> bool:
    """Return True if two words differ by a letter that is missing, too many, wrong or swapped; long ones by two."""
    return _wrong_letters(typed.lower(), name.lower()) <= (1 if len(name) < LONG else 2)


def _wrong_letters(typed: str, name: str) -> int:
    """Return how many letters are missing, too many, wrong or swapped (the optimal string alignment of the words)."""
    rows = [list(range(len(name) + 1))]
    for i, sign in enumerate(typed, 1):
        row = [i]
        for j, other in enumerate(name, 1):
            cost = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (sign != other))
            if i > 1 and j > 1 and typed[i - 2 : i] == name[j - 1] + name[j - 2]:
                cost = min(cost, rows[-2][j - 2] + 1)
            row.append(cost)
        rows.append(row)
    return rows[-1][-1]


def group(doc: str | None) -> typer.Typer:
    """Create the app of a noun with verbs, like `dcmon alert list`.

    `doc` is its help; None: its verbs become those of another group.
    """
    app = typer.Typer(cls=SuggestingGroup, help=doc, no_args_is_help=True, rich_markup_mode=None, add_completion=False)
    if doc is not None:  # without a callback, typer takes a group with one verb for a command without verbs
        app.callback(help=doc)(_do_nothing)
    return app


def _do_nothing() -> None:
    pass


def single() -> typer.Typer:
    """Create the app of a command without verbs, like `dcmon status`."""
    return typer.Typer(rich_markup_mode=None, add_completion=False)
