"""What a person is told who typed a command wrong: one form for all that typer refuses.

The sentence says what is wrong, then the nearest name or what is expected, and then which help shows more.
"""

import re
from typing import Any

from typer.exceptions import TyperException

from dcmon.commands.shared.groups import OLD_OPTIONS
from dcmon.commands.shared.help_texts import choices_of, name_of
from dcmon.nearest import nearest, one_of

NOT_A_NUMBER = re.compile(r"'?(?P<typed>.*?)'? is not (a valid|in the range)", re.DOTALL)
TOO_MANY = re.compile(r"Got unexpected extra argument\(s\) \((?P<words>.*)\)", re.DOTALL)


def message(error: TyperException, is_object: bool = False) -> str:
    """Return the sentences for an error of typer. `is_object`: they are for a program, which gets no whole help."""
    context: Any = getattr(error, "ctx", None)
    kind = type(error).__name__
    if kind == "NoArgsIsHelpError":
        return f'Name a command: "{context.command_path} --help" lists them.' if is_object else error.message
    if kind == "NoSuchOption":
        return _unknown_option(error, context)
    if kind == "MissingParameter":
        return _missing(error, context)
    if kind == "BadParameter":
        return _wrong_value(error)
    if kind == "BadOptionUsage":
        return _bad_option(error)
    if (too_many := TOO_MANY.fullmatch(error.message)) is not None:
        return (
            f"There are too many arguments: {too_many['words']}.{_where_help_is(context, 'lists those that it takes')}"
        )
    if error.message == "Missing command.":
        return f'Name a command: "{context.command_path} --help" lists them.'
    return error.message


def is_help(error: TyperException) -> bool:
    """Return True if the error only shows the help of a group that was typed without a command."""
    return type(error).__name__ == "NoArgsIsHelpError"


def _where_help_is(context: Any, what: str) -> str:
    return "" if context is None else f' "{context.command_path} --help" {what}.'


def _unknown_option(error: Any, context: Any) -> str:
    contexts = [] if context is None else [context, context.find_root()]
    typed = error.option_name.lstrip("-")
    known = [
        option.lstrip("-")
        for offering in contexts
        for parameter in offering.command.get_params(offering)
        if parameter.param_type_name == "option" and not parameter.hidden
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--") == error.option_name.startswith("--")
    ]
    if context is not None:
        known += [option.lstrip("-") for option in OLD_OPTIONS.get(" ".join(context.command_path.split()[1:2]), {})]
    match = nearest(typed, known) if error.option_name.startswith("--") else None
    hint = "" if match is None else f" Do you mean '--{match}'?"
    return f"There is no option {error.option_name!r}.{hint}{_where_help_is(context, 'lists the options')}"


def _missing(error: Any, context: Any) -> str:
    if error.param is None:
        return f"A parameter is missing.{_where_help_is(context, 'shows how to use the command')}"
    name, choices = f"{error.param.param_type_name} {name_of(error.param)}", one_of(choices_of(error.param))
    return f"The {name} is missing.{choices}{_where_help_is(context, 'shows how to use the command')}"


def _wrong_value(error: Any) -> str:
    """Return the message with the option or argument before it, if it is known, and plain words for numbers."""
    hint = error.param_hint or (None if error.param is None else name_of(error.param))
    text = error.message.removeprefix("Value error, ")  # pydantic puts it before the message of a wrong option
    number = NOT_A_NUMBER.match(text)
    if error.param is not None and number is not None and (expected := _expected_number(error.param.type)) is not None:
        text = f"{number['typed']!r} is not {expected}."
    return text if hint is None else f"{hint}: {text}"


def _expected_number(kind: Any) -> str | None:
    """Return what a number must be, like "a whole number from 1 to 10"; None if the type is not one of numbers."""
    words = {"int": "a whole number", "float": "a number"}.get(kind.name.split()[0])
    least, most = getattr(kind, "min", None), getattr(kind, "max", None)
    if words is None or (least is None and most is None):
        return words
    if most is None:
        return f"{words} of {least} or more"
    return f"{words} of {most} or less" if least is None else f"{words} from {least} to {most}"


def _bad_option(error: Any) -> str:
    if "does not take a value" in error.message:
        return f"The option {error.option_name} takes no value."
    return f"The option {error.option_name} needs a value after it."
