"""The types of values in files. Each is written in one form, so that equal values are equal texts."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from dcmon import durations, text, times, windows
from dcmon.alerting import condition_parser
from dcmon.declarations.secret_text import SecretText
from dcmon.errors import InvalidInput
from dcmon.notifications import matchers
from dcmon.storage import filter_parser
from dcmon.tenancy import retention

NONE, INHERIT, ALL = "none", "inherit", "all"
Value = TypeVar("Value")


class Declaration(BaseModel):
    """An object of a file. Keys that it does not have are refused, and texts are not numbers.

    `ALWAYS`: fields that are written although they have their default. `SECTIONS`: fields with objects of their own.
    """

    ALWAYS: ClassVar[Sequence[str]] = ()
    SECTIONS: ClassVar[Sequence[str]] = ()
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)

    def problems(self) -> list["Problem"]:
        """Return what is wrong with the fields together."""
        return []

    def values(self) -> dict[str, Any]:
        """Return the fields by their keys in files, each in its one form, without sections and the former name."""
        left_out = ("renamed_from", *self.SECTIONS)
        return {key(name): _plain(getattr(self, name)) for name in type(self).model_fields if name not in left_out}

    def written(self) -> dict[str, Any]:
        """Return what a file has of the fields: without defaults, sections and the former name."""
        values, fields = self.values(), type(self).model_fields
        return {
            key(name): as_written(values[key(name)])
            for name, field in fields.items()
            if key(name) in values
            and (name in self.ALWAYS or values[key(name)] != field.get_default(call_default_factory=True))
        }


def key(field: str) -> str:
    """Return the key that a field has in files."""
    return _KEYS.get(field, field)


_KEYS = {"for_windows": "for", "class_": "class", "from_": "from"}  # words of Python


def _plain(value: Any) -> Any:
    if isinstance(value, Declaration):
        return value.values()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return {name: _plain(inner) for name, inner in value.items()} if isinstance(value, Mapping) else value


def as_written(value: Any) -> Any:
    """Return a value as a file has it: secrets as references."""
    if isinstance(value, SecretText):
        return value.written
    if isinstance(value, list):
        return [as_written(item) for item in value]
    return {name: as_written(inner) for name, inner in value.items()} if isinstance(value, Mapping) else value


class Problem(BaseModel):
    """What is wrong with an object, and the path to the field, from the object."""

    path: list[str | int]
    message: str


def fault(message: str) -> PydanticCustomError:
    """Return the error that makes a message the fault of a field."""
    return PydanticCustomError("dcmon", "{message}", {"message": message})


def problem(message: object, *path: str | int) -> Problem:
    """Return a problem of the field that a path leads to."""
    return Problem(path=list(path), message=str(message))


def _checked(parse: Callable[[str], Value], write: Callable[[Value], str]) -> AfterValidator:
    """Return a validator that parses a text as commands do, and writes it in its one form."""

    def validate(typed: str) -> str:
        try:
            return write(parse(typed))
        except InvalidInput as error:
            raise fault(str(error)) from error

    return AfterValidator(validate)


def _same(value: str) -> str:
    return value


def _line(typed: str) -> str:
    text.require_line(typed)
    if not typed.strip():
        raise InvalidInput("A name can't be empty.")
    return typed


def _prose(typed: str) -> str:
    text.require_prose(typed)
    return typed


def _storable(typed: str) -> str:
    text.require_storable(typed)
    return typed


def parse_time(typed: str) -> datetime:
    """Parse a time that means the same each day. Raises InvalidInput."""
    try:
        time = datetime.fromisoformat(typed.strip())
    except ValueError:
        times.parse(typed)
        raise InvalidInput(
            f"{typed!r} is another time each day. A time in a file is a date, or like 2026-03-10T14:30+01:00."
        ) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def time_text(time: datetime) -> str:
    """Return a time as files write it: in UTC."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _term(typed: str) -> timedelta | None:
    return retention.parse(typed)


def term_text(term: timedelta | None) -> str:
    """Return how long rows are kept as files write it; None: for ever."""
    return NONE if term is None or term >= retention.FOR_EVER else durations.to_text(term)


def _own_term(typed: str) -> str:
    return INHERIT if typed.strip().lower() == INHERIT else term_text(retention.parse(typed))


def own_term_text(term: timedelta | None) -> str:
    """Return the term of a model; None: that of its organization."""
    return INHERIT if term is None else term_text(term)


def _or_none(typed: str) -> str:
    return NONE if typed.strip().lower() == NONE else durations.to_text(durations.parse(typed))


def _zone(typed: str) -> str:
    return windows.time_zone(typed).key


def _matcher(typed: str) -> str:
    return str(matchers.parse(typed))


def filters_text(filters: Mapping[str, Any] | None) -> str:
    """Return data filters as text."""
    return filter_parser.write(filters)


def _text_schema(description: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "description": description, **more})


Line = Annotated[str, _checked(_line, _same)]
Prose = Annotated[str, _checked(_prose, _same)]
DataText = Annotated[str, _checked(_storable, _same)]
Duration = Annotated[
    str, _checked(durations.parse, durations.to_text), _text_schema("A duration, like 30m, 12h, 3d or 1h30m.")
]
DurationOrNone = Annotated[str, _checked(_or_none, _same), _text_schema("A duration, like 4h, or none.")]
Time = Annotated[
    str, _checked(parse_time, time_text), _text_schema("A time, like 2026-03-10T14:30+01:00; in UTC without offset.")
]
Term = Annotated[str, _checked(_term, term_text), _text_schema("How long rows are kept, like 90d; none: for ever.")]
OwnTerm = Annotated[
    str, _checked(_own_term, _same),
    _text_schema("How long rows are kept, like 90d; none: for ever; inherit: as the organization says."),
]  # fmt: skip
TimeZone = Annotated[str, _checked(_zone, _same), _text_schema("A time zone, like Europe/Berlin.")]
ConditionText = Annotated[
    str, _checked(condition_parser.parse, condition_parser.to_text),
    _text_schema("A condition in quotes, like '> 0.2', 'any feature > 0.3' or 'drop > 20%'."),
]  # fmt: skip
MatcherText = Annotated[
    str,
    _checked(_matcher, _same),
    _text_schema("A matcher, like model=credit, severity!=critical or monitor=~.*Drift."),
]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
