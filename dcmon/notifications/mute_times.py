"""Mute times: hours of the week in which notifications are held back.

The hours are in a time zone. Alerts still change in them.
"""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import errors, windows
from dcmon.db.tables.org import MuteTime
from dcmon.nearest import nearest
from dcmon.notifications import matchers

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
# Words of other tools for several days, for suggestions.
SYNONYMS = {
    **dict.fromkeys(("weekdays", "weekday", "workdays", "workday"), "mon-fri"),
    **dict.fromkeys(("weekend", "weekends"), "sat,sun"),
}
DAY_MINUTES = 24 * 60
LONGEST_NAME = 100


def parse_days(text: str) -> list[str]:
    """Parse days as an operator types them: "sat,sun", "mon-fri", "daily". Raises InvalidInput."""
    if text.strip().lower() in ("daily", "all", "*"):
        return list(DAYS)
    if (days := _days(text)) is None:
        raise errors.InvalidInput(f"{text!r} are not days.{_meant(text)} Days look like mon-fri, sat,sun or daily.")
    return days


def _days(text: str) -> list[str] | None:
    """Return the days of a list of days and spans of days; None if it is something else."""
    days: set[str] = set()
    for part in text.lower().split(","):
        first_name, dash, last_name = (name.strip() for name in part.partition("-"))
        first, last = _day_number(first_name), _day_number(last_name if dash else first_name)
        if first is None or last is None:
            return None
        days.update(DAYS[(first + step) % 7] for step in range((last - first) % 7 + 1))
    return [day for day in DAYS if day in days]


def _meant(text: str) -> str:
    """Return " Do you mean 'mon-fri'?" for days of which some are mistyped; an empty text if one is like no day."""
    words = [word.strip() for word in re.split("([,-])", text.lower())]
    known = (*DAYS, *DAY_NAMES, *(["daily"] if len(words) == 1 else []))
    near = [word if word in ",-" or _day_number(word) is not None else nearest(word, known) for word in words]
    days = "".join(word[:3] if word in DAY_NAMES else word for word in near if word)
    meant = SYNONYMS.get(words[0], days) if len(words) == 1 else days
    is_accepted = meant == "daily" or _days(meant) is not None
    return f" Do you mean {meant!r}?" if None not in near and is_accepted else ""


def _day_number(text: str) -> int | None:
    """Return the number of a day, where Monday is 0.

    `text`: the name of the day, or at least its first three letters.
    """
    numbers = [number for number, name in enumerate(DAY_NAMES) if len(text) >= 3 and name.startswith(text)]
    return numbers[0] if numbers else None


class Schedule(NamedTuple):
    """Days and hours as an operator types them, and their time zone."""

    days: str
    hours: str
    time_zone: str


class MutedHours(NamedTuple):
    """The muted hours of a day, in minutes after midnight. They may end on the next day."""

    start: int
    end: int


def parse_hours(text: str) -> MutedHours:
    """Parse hours as an operator types them: "22:00-06:00", "9-17". Raises InvalidInput."""
    match = re.fullmatch(r"\s*(\d{1,2})(?::(\d\d))?\s*(?:-|to)\s*(\d{1,2})(?::(\d\d))?\s*", text, re.ASCII)
    numbers = [int(digits or 0) for digits in match.groups()] if match else []
    if not numbers or numbers[1] > 59 or numbers[3] > 59:
        raise errors.InvalidInput(f"{text!r} are not hours. Hours look like 22:00-06:00.")
    start, end = numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]
    if start >= DAY_MINUTES or end > DAY_MINUTES:
        raise errors.InvalidInput(f"{text!r} are not hours: a day has 24 hours. Hours look like 22:00-06:00.")
    return MutedHours(start, end)


def schedule(mute_time: MuteTime) -> Schedule:
    """Return when a mute time holds, as an operator would type it."""
    start, end = (f"{minutes // 60:02}:{minutes % 60:02}" for minutes in (mute_time.begins, mute_time.ends))
    days = "daily" if len(mute_time.days) == len(DAYS) else ",".join(mute_time.days)
    return Schedule(days, f"{start}-{end}", mute_time.time_zone)


def format_schedule(mute_time: MuteTime) -> str:
    """Return days and hours as text: "mon,tue 22:00-06:00 Europe/Berlin"."""
    return " ".join(schedule(mute_time))


def add(session: Session, name: str, days: str, hours: str, time_zone: str, matcher_texts: Sequence[str]) -> MuteTime:
    """Add a mute time. Raises InvalidInput or Conflict.

    Hours that end before they start continue after midnight.
    """
    mute_time = MuteTime()
    change(session, mute_time, name, Schedule(days, hours, time_zone), matcher_texts)
    session.add(mute_time)
    session.flush()
    return mute_time


def change(session: Session, mute_time: MuteTime, name: str, wanted: Schedule, matcher_texts: Sequence[str]) -> None:
    """Change all of a mute time. Raises InvalidInput or Conflict."""
    _require_free_name(session, mute_time, name)
    muted = parse_hours(wanted.hours)
    mute_time.name, mute_time.days, mute_time.begins, mute_time.ends = name, parse_days(wanted.days), *muted
    mute_time.time_zone = windows.time_zone(wanted.time_zone).key
    mute_time.matchers = [str(matchers.parse(text)) for text in matcher_texts]
    session.flush()


def rename(session: Session, mute_time: MuteTime, name: str) -> None:
    """Give a mute time another name. Raises InvalidInput or Conflict."""
    _require_free_name(session, mute_time, name)
    mute_time.name = name
    session.flush()


def _require_free_name(session: Session, mute_time: MuteTime, name: str) -> None:
    if not name.strip() or len(name) > LONGEST_NAME:
        raise errors.InvalidInput(f"A mute time's name has 1 to {LONGEST_NAME} characters.")
    with session.no_autoflush:
        same_named_id = session.scalar(select(MuteTime.id).where(MuteTime.name == name))
    if same_named_id is not None and same_named_id != mute_time.id:
        raise errors.Conflict(f'There is a mute time {name!r} already: "dcmon mute set" changes it.')


def entries(session: Session) -> Sequence[MuteTime]:
    """Return all mute times, by name."""
    return session.scalars(select(MuteTime).order_by(MuteTime.name)).all()


def find(session: Session, name: str, *, is_locked: bool = False) -> MuteTime:
    """Return the mute time of that name. Raises MuteTimeNotFound.

    `is_locked`: no other transaction can change it before this one ends, so that no change is lost.
    """
    statement = select(MuteTime).where(MuteTime.name == name)
    mute_time = session.scalar(statement.with_for_update(key_share=True) if is_locked else statement)
    if mute_time is None:
        raise errors.MuteTimeNotFound(name=name, known=session.scalars(select(MuteTime.name)))
    return mute_time


def current_end(mute_time: MuteTime, now: datetime) -> datetime | None:
    """Return when the muted hours that contain `now` end; None when `now` is not muted."""
    today = now.astimezone(windows.time_zone(mute_time.time_zone)).date()
    for day in (today - timedelta(days=1), today):  # Yesterday's hours may continue after midnight.
        if DAYS[day.weekday()] not in mute_time.days:
            continue
        length = (mute_time.ends - mute_time.begins) % DAY_MINUTES or DAY_MINUTES
        offsets = (mute_time.begins, mute_time.begins + length)
        start, end = (_local_time(mute_time, day, minutes) for minutes in offsets)
        if start <= now < end:
            return end
    return None


def _local_time(mute_time: MuteTime, day: date, minutes: int) -> datetime:
    """Return a time of a day by the local clock, in UTC.

    `minutes`: the minutes after midnight.
    """
    local = datetime.fromisoformat(f"{day}") + timedelta(minutes=minutes)
    return local.replace(tzinfo=windows.time_zone(mute_time.time_zone)).astimezone(UTC)
