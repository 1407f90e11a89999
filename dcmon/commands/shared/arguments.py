"""What a person typed, read into values."""

from datetime import UTC, datetime, timedelta
from typing import Any, overload

import typer


def column_mapping(options: list[str] | None, ignore_extra: bool) -> dict[str, str]:
    """Read COLUMN=FIELD options; the column "*" stands for all others. Raises BadParameter."""
    mapping = {"*": ""} if ignore_extra else {}
    for option in options or ():
        column, equals, field = option.rpartition("=")
        if not equals or not column:
            raise typer.BadParameter(
                f"{option!r} is not COLUMN=FIELD, like customer=_dc_sample_id.", param_hint="--map"
            )
        mapping[column] = field
    return mapping


def check_parameters(options: list[str] | None) -> dict[str, Any]:
    """Read NAME=VALUE options: a value is JSON where it can be, else text. Raises BadParameter."""
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


def require_one_of(words: list[str] | None, known: list[str], option: str) -> None:
    """Raises BadParameter when one of the words is not known."""
    if unknown := set(words or ()) - set(known):
        raise typer.BadParameter(f"{min(unknown)!r} is none of {', '.join(known)}.", param_hint=option)


def require_span(start: datetime | None, end: datetime | None) -> None:
    """Raises BadParameter for a span that ends before it begins."""
    if start is not None and end is not None and end <= start:
        raise typer.BadParameter(f"The span ends at {end:%Y-%m-%d %H:%M}, before it begins.", param_hint="--to")


def frequency(word: str) -> Any:
    """Read a frequency, in any case of letters. Raises BadParameter."""
    from dcmon.windows import Frequency

    if word.upper() not in Frequency.__members__:
        raise typer.BadParameter(f"{word!r} is none of {', '.join(Frequency)}.", param_hint="--frequency")
    return Frequency[word.upper()]


def duration(text: str | None) -> timedelta | None:
    """Read a duration like 30m; None stays None. Raises InvalidInput."""
    from dcmon import durations

    return None if text is None else durations.parse(text)


def operator_name() -> str:
    """Return the operating system's user, who is named in the ledger and in histories."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return "unknown"


@overload
def as_utc(time: datetime) -> datetime: ...
@overload
def as_utc(time: datetime | None) -> datetime | None: ...
def as_utc(time: datetime | None) -> datetime | None:
    """Take a time as typed, without a zone, for UTC."""
    return None if time is None else time.replace(tzinfo=UTC)
