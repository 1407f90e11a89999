"""Types of fields that the requests and responses of several routes have."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

MAX_ID = 2**31 - 1


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except OverflowError as error:
        raise ValueError("the time in UTC is out of the calendar") from error


# A time of a request, in UTC; it has no offset, or one that leaves it between the years 1 and 9999.
Time = Annotated[datetime, AfterValidator(_in_utc)]
# A time of a response, as datetime.isoformat writes it: clients of the old system compare these texts.
Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class IdentifierKind(StrEnum):
    """What the identifier of a path is: the id of a model, a version or a check, or its name."""

    ID = "id"
    NAME = "name"


class CreatedView(BaseModel):
    """The id of what was created."""

    id: int


def timestamp(time: datetime | None) -> str | None:
    """Return a time as a Timestamp."""
    return None if time is None else time.isoformat()
