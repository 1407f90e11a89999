"""How many log-ins failed, by hour."""

from sqlalchemy import text
from sqlalchemy.orm import Session

MAX_AGE = "30 days"


def add(session: Session, count: int) -> None:
    """Add to the count of this hour, and delete old counts."""
    session.execute(
        text(
            "insert into failed_logins as f (hour, count) values (date_trunc('hour', now(), 'UTC'), :count)"
            " on conflict (hour) do update set count = f.count + excluded.count"
        ),
        {"count": count},
    )
    session.execute(text(f"delete from failed_logins where hour < now() - interval '{MAX_AGE}'"))


def last_day(session: Session) -> int:
    """Return how many log-ins failed in the last 24 hours."""
    statement = text("select coalesce(sum(count), 0) from failed_logins where hour > now() - interval '24 hours'")
    return int(session.scalar(statement) or 0)
