"""Fields that several routes have."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import TypeAdapter, ValidationError

from dcmon.http.fields import Time

TIME: TypeAdapter[datetime] = TypeAdapter(Time)


@pytest.mark.parametrize("typed", ["2026-03-01T12:00:00", "2026-03-01T12:00:00Z", "2026-03-01T02:00:00-10:00"])
def test_time_is_in_utc(typed: str) -> None:
    time = TIME.validate_python(typed)
    assert time == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert time.tzinfo is UTC


@pytest.mark.parametrize("typed", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_time_outside_the_calendar_in_utc_is_refused(typed: str) -> None:
    """The database writes such a time, and nothing can read it."""
    assert datetime.fromisoformat(typed).tzinfo in (timezone(timedelta(hours=-14)), timezone(timedelta(hours=14)))
    with pytest.raises(ValidationError, match="out of the calendar"):
        TIME.validate_python(typed)
