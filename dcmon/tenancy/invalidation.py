"""Tell all processes that cached tokens may be out of date: a token, member, user or organization changed."""

from sqlalchemy import text
from sqlalchemy.orm import Session

CHANNEL = "dcmon_access"


def notify(session: Session) -> None:
    """Notify the listeners of CHANNEL when the transaction commits. Several calls make one notification."""
    session.execute(text(f"notify {CHANNEL}"))
