"""Mute times: hours of the week, in a time zone, in which nobody is notified; alerts move and are shown nonetheless."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import errors, windows
from dcmon.db.tables.org import MuteTime
from dcmon.notifications import matchers

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WHOLE_DAY = 24 * 60
LONGEST_NAME = 100


def parse_days(text: str) -> list[str]:
    """Days as a person writes them: "sat,sun", "mon-fri", "daily". Raises InvalidInput."""
    if text.strip().lower() in ("daily", "all", "*"):
        return list(DAYS)
    found: set[str] = set()
    for part in text.lower().split(","):
        first, dash, last = (each.strip() for each in part.partition("-"))
        at, until = _day(first), _day(last if dash else first)
        if at is None or until is None:
            raise errors.InvalidInput(f"{text!r} are no days. They look like mon-fri, sat,sun or daily.")
        found.update(DAYS[(at + step) % 7] for step in range((until - at) % 7 + 1))
    return [day for day in DAYS if day in found]


def _day(text: str) -> int | None:
    """A day by its name or the first letters of it, from Monday, 0."""
    found = [at for at, name in enumerate(NAMES) if len(text) >= 3 and name.startswith(text)]
    return found[0] if found else None


def parse_hours(text: str) -> tuple[int, int]:
    """Begin and end in minutes after midnight, of "22:00-06:00" or "9-17". Raises InvalidInput."""
    found = re.fullmatch(r"\s*(\d{1,2})(?::(\d\d))?\s*(?:-|to)\s*(\d{1,2})(?::(\d\d))?\s*", text, re.ASCII)
    numbers = [int(each or 0) for each in found.groups()] if found else []
    if not numbers or numbers[1] > 59 or numbers[3] > 59:
        raise errors.InvalidInput(f"{text!r} are no hours. They look like 22:00-06:00.")
    begins, ends = numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]
    if begins >= WHOLE_DAY or ends > WHOLE_DAY:
        raise errors.InvalidInput(f"{text!r} are no hours: a day has 24. They look like 22:00-06:00.")
    return begins, ends


def format_schedule(mute: MuteTime) -> str:
    """Days and hours as a person writes them."""
    begins, ends = (f"{minutes // 60:02}:{minutes % 60:02}" for minutes in (mute.begins, mute.ends))
    days = "daily" if len(mute.days) == len(DAYS) else ",".join(mute.days)
    return f"{days} {begins}-{ends} {mute.time_zone}"


def add(session: Session, name: str, days: str, hours: str, time_zone: str, wanted: Sequence[str]) -> MuteTime:
    """Add a mute time; one that ends before it begins goes on after midnight. Raises InvalidInput or Conflict."""
    if not name.strip() or len(name) > LONGEST_NAME:
        raise errors.InvalidInput(f"A mute time's name has 1 to {LONGEST_NAME} characters.")
    if session.scalar(select(MuteTime.id).where(MuteTime.name == name)) is not None:
        raise errors.Conflict(f"There is a mute time {name!r} already.")
    begins, ends = parse_hours(hours)
    mute = MuteTime(
        name=name,
        days=parse_days(days),
        begins=begins,
        ends=ends,
        time_zone=windows.time_zone(time_zone).key,
        matchers=[str(matchers.parse(each)) for each in wanted],
    )
    session.add(mute)
    session.flush()
    return mute


def entries(session: Session) -> Sequence[MuteTime]:
    """All mute times, by name."""
    return session.scalars(select(MuteTime).order_by(MuteTime.name)).all()


def find(session: Session, name: str) -> MuteTime:
    """The mute time of that name. Raises NotFound."""
    found = session.scalar(select(MuteTime).where(MuteTime.name == name))
    if found is None:
        raise errors.NotFound(what="mute time", name=name)
    return found


def current_end(mute: MuteTime, now: datetime) -> datetime | None:
    """When the span that `now` lies in is over; None when it lies in none."""
    today = now.astimezone(windows.time_zone(mute.time_zone)).date()
    for day in (today - timedelta(days=1), today):
        if DAYS[day.weekday()] not in mute.days:
            continue
        length = (mute.ends - mute.begins) % WHOLE_DAY or WHOLE_DAY
        begins, ends = (_moment(mute, day, minutes) for minutes in (mute.begins, mute.begins + length))
        if begins <= now < ends:
            return ends
    return None


def _moment(mute: MuteTime, day: object, minutes: int) -> datetime:
    """So many minutes after a day's midnight by the clock on the wall, in UTC."""
    local = datetime.fromisoformat(f"{day}") + timedelta(minutes=minutes)
    return local.replace(tzinfo=windows.time_zone(mute.time_zone)).astimezone(UTC)
