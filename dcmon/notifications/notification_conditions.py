"""Conditions for statements that select notifications by their state."""

from sqlalchemy import ColumnElement, and_

from dcmon.db.tables.org import Notification


def is_open() -> ColumnElement[bool]:
    """Return the condition for notifications that are neither delivered nor given up."""
    return and_(Notification.delivered_at.is_(None), Notification.dead_at.is_(None))


def is_given_up() -> ColumnElement[bool]:
    """Return the condition for notifications that dcmon gave up after the last attempt."""
    return and_(Notification.dead_at.is_not(None), ~Notification.is_superseded)
