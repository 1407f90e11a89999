"""Parse typed arguments and options into values."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from dcmon.authors import operator_name as operator_name
from dcmon.errors import InvalidInput
from dcmon.nearest import unknown

if TYPE_CHECKING:
    from dcmon.alerting.rules import Condition
    from dcmon.states import DefaultSet

T = TypeVar("T")
SERVERS = ("up", "serve", "worker", "demo")
PATIENT = ("audit", "wait", "status", "doctor")  # they limit their waits themselves, or may take hours
READ_WAIT = timedelta(seconds=30)
TIME_RANGE = ("--since", "--until")  # options that are the two ends of one range


def column_mapping(options: list[str] | None, ignore_extra: bool) -> dict[str, str]:
    """Parse COLUMN=FIELD options; the column "*" means all other columns. Raises BadParameter."""
    mapping = {"*": ""} if ignore_extra else {}
    for option in options or ():
        column, equals, field = option.rpartition("=")
        if not equals or not column:
            raise typer.BadParameter(
                f"{option!r} is not COLUMN=FIELD, like customer=_dc_sample_id.", param_hint="--map"
            )
        mapping[column] = field
    return mapping


def constants(options: list[str] | None) -> dict[str, str]:
    """Parse FIELD=VALUE options. Raises BadParameter."""
    texts: dict[str, str] = {}
    for option in options or ():
        field, equals, text = option.partition("=")
        if not equals or not field:
            raise typer.BadParameter(f"{option!r} is not FIELD=VALUE, like country=DE.", param_hint="--set")
        if field in texts:
            raise typer.BadParameter(f"{field!r} has two values.", param_hint="--set")
        texts[field] = text
    return texts


def check_parameters(options: list[str] | None) -> dict[str, Any]:
    """Parse NAME=VALUE options; a value is read as JSON if possible, else as text. Raises BadParameter."""
    import json

    parameters: dict[str, Any] = {}
    for option in options or ():
        name, equals, value = option.partition("=")
        if not equals or not name.isidentifier():
            raise typer.BadParameter(f"{option!r} is not NAME=VALUE, like min_samples=50.", param_hint="--param")
        try:
            parameters[name] = json.loads(value)
        except ValueError:
            parameters[name] = value
    return parameters


def complete(context: Any) -> None:
    """Check what is typed as a whole, and the names of settings, and limit the wait for locks of what only reads.

    Raises BadParameter or InvalidInput.
    """
    require_ordered_times(context)
    require_known_settings(context)
    if context.obj is not None and not hasattr(context.command, "commands"):
        _limit_waits(context)


def _limit_waits(context: Any) -> None:
    """Let a command say whom it waits for, and one that only reads give up after a while."""
    noun = context.command_path.split()[1]
    options = {option for parameter in context.command.params for option in parameter.opts}
    context.obj.announces_waits = noun not in SERVERS
    if context.obj.announces_waits and "--dry-run" not in options and noun not in PATIENT:
        context.obj.lock_wait = READ_WAIT


def require_ordered_times(context: Any) -> None:
    """Check that the time range of a command, if it has one, ends after its start. Raises BadParameter."""
    typed = {parameter.opts[0]: context.params.get(parameter.name) for parameter in context.command.params}
    if context.resilient_parsing:  # while a shell completes
        return
    first, last = TIME_RANGE
    start, end = typed.get(first), typed.get(last)
    if isinstance(start, datetime) and isinstance(end, datetime) and end <= start:
        before = "where" if end == start else "before"
        sentence = f"The time range ends at {end:%Y-%m-%d %H:%M}, {before} it begins at {start:%Y-%m-%d %H:%M} UTC."
        raise typer.BadParameter(f"{sentence} {first} is the earlier time; 2h is two hours ago.", param_hint=last)


def require_known_settings(context: Any) -> None:
    """Refuse mistyped names of settings, also where none is read; what says which are right works all the same.

    Raises InvalidInput.
    """
    is_page = str(context.params.get("page")).partition("#")[0] == "settings"
    is_help = is_page or context.command_path.removeprefix("dcmon ") in ("doctor", "config show")
    if not (is_help or context.resilient_parsing or hasattr(context.command, "commands")):
        from dcmon import settings

        settings.require_known_names()


def require_not_both(one: bool, name: str, other: bool, other_name: str) -> None:
    """Check that two options are not given together. Raises BadParameter."""
    if one and other:
        raise typer.BadParameter(f"Give either {name} or {other_name}, not both.")


def require_some(command: str, *typed: object) -> None:
    """Check that a command that changes something got an option that says what. Raises BadParameter."""
    if all(value is None for value in typed):
        raise typer.BadParameter(f'Nothing to change: give an option that "dcmon {command} --help" lists.')


def require_one(names: Sequence[str], value: object, option: str) -> None:
    """Check that an option that names one object is not given for several. Raises BadParameter."""
    if value is not None and len(names) > 1:
        raise typer.BadParameter(f"It gives one object a name, but {len(names)} are named.", param_hint=option)


def frequency(text: str) -> Any:
    """Return the frequency of a word of choices.FREQUENCIES."""
    from dcmon.windows import Frequency

    return Frequency[text]


def duration(text: str) -> timedelta:
    """Parse a duration like 30m. Raises InvalidInput."""
    from dcmon import durations

    return durations.parse(text)


def lifetime(text: str) -> timedelta:
    """Parse how long something lasts from now: a duration like 90d, or the time when it ends. Raises InvalidInput."""
    from dcmon import times

    return times.parse_lifetime(text)


def time_zone(text: str) -> str:
    """Return the name of a time zone as it is. Raises InvalidInput with the nearest name."""
    from dcmon import windows

    return windows.time_zone(text).key


def of_option(option: str, parse: Callable[[str], T], text: str) -> T:
    """Parse the text of an option. Raises BadParameter, which names the option, for InvalidInput."""
    try:
        return parse(text)
    except InvalidInput as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def parse_condition(text: str | None) -> "Condition | None":
    """Parse the condition of a rule; None stays None. Raises InvalidInput."""
    from dcmon.alerting import condition_parser

    return None if text is None else condition_parser.parse(text)


def time(text: str) -> datetime:
    """Parse a time like 2026-03-10, 7d (ago), yesterday or now. Raises InvalidInput."""
    from dcmon import times

    return times.parse(text)


def names_and_defaults(names: Sequence[str] | None, value: str) -> "tuple[list[str], DefaultSet]":
    """Parse objects and, after them, which default monitors they get; earlier releases had that first.

    Raises BadParameter.
    """
    from dcmon.states import DefaultSet

    words = [*(names or ()), value]
    is_old_order = words[-1].lower() not in tuple(DefaultSet) and words[0].lower() in tuple(DefaultSet)
    *objects, defaults = [*words[1:], words[0]] if is_old_order else words
    return objects, default_set(defaults)


def default_set(text: str) -> "DefaultSet":
    """Parse which default monitors a model gets. Raises BadParameter."""
    from dcmon.states import DefaultSet

    if text.lower() not in tuple(DefaultSet):
        raise typer.BadParameter(unknown("set of defaults", text, DefaultSet))
    return DefaultSet(text.lower())
