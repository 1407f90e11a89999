"""Silences and mute times as files declare them."""

from typing import Any, ClassVar

from pydantic import Field

from dcmon.declarations.values import (
    Declaration,
    Line,
    MatcherText,
    Problem,
    Prose,
    Time,
    TimeZone,
    parse_time,
    problem,
)
from dcmon.errors import InvalidInput
from dcmon.notifications import mute_times


class MuteTimeDeclaration(Declaration):
    """Hours of the week in which notifications are held back. A key that is left out has its default."""

    ALWAYS: ClassVar = ("hours", "days", "time_zone")

    renamed_from: Line | None = Field(None, description="Former name.")
    hours: str = Field(description="Hours of a day, like 22:00-06:00; they may go on after midnight.")
    days: str = Field("daily", description="Days on which it begins, like mon-fri, sat,sun or daily.")
    time_zone: TimeZone = "UTC"
    matchers: list[MatcherText] = Field([], description="Only alerts that match all of these.")

    def problems(self) -> list[Problem]:
        """Return hours and days that can't be used."""
        problems = []
        for name, parse in (("hours", mute_times.parse_hours), ("days", mute_times.parse_days)):
            try:
                parse(getattr(self, name))
            except InvalidInput as error:
                problems.append(problem(error, name))
        return problems

    def values(self) -> dict[str, Any]:
        """Return the fields by their keys; days and hours in one form."""
        return {**super().values(), "hours": _hours(self.hours), "days": days_text(mute_times.parse_days(self.days))}


def _hours(typed: str) -> str:
    muted = mute_times.parse_hours(typed)
    return hours_text(muted.start, muted.end)


def hours_text(start: int, end: int) -> str:
    """Return hours as files write them, from minutes after midnight."""
    return "-".join(f"{minutes // 60:02}:{minutes % 60:02}" for minutes in (start, end))


def days_text(days: list[str]) -> str:
    """Return days as files write them."""
    return "daily" if len(days) == len(mute_times.DAYS) else ",".join(days)


class SilenceDeclaration(Declaration):
    """A span of time in which notifications are held back. It has no name: a changed silence is another one."""

    ALWAYS: ClassVar = ("matchers", "from_", "until", "reason")

    matchers: list[MatcherText] = Field(min_length=1, description="Alerts that match all of these.")
    from_: Time = Field(alias="from")
    until: Time
    reason: Prose = ""
    by: Prose = Field("", description="Author; default: the user who applies the file.")

    def problems(self) -> list[Problem]:
        """Return a problem if it ends before it begins."""
        if parse_time(self.until) <= parse_time(self.from_):
            return [problem("A silence must end after it starts.", "until")]
        return []

    def label(self) -> str:
        """Return what identifies the silence for people."""
        return f"{', '.join(self.matchers)} until {self.until}"
