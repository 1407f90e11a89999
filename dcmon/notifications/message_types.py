"""The types of messages: the value of `type` in their bodies. docs/notifications.md lists them.

A message about one alert has the type "alert.KIND", and one about a problem of dcmon itself "dcmon.KIND", where KIND is
a NotificationKind. Other messages have a MessageType.
"""

from enum import StrEnum

_ALERT_PREFIX, _PROBLEM_PREFIX = "alert.", "dcmon."


class MessageType(StrEnum):
    """The types of messages that are not about one alert."""

    GROUP = "alerts"
    DIGEST = "digest"
    TEST = "test"


def alert_type(kind: str) -> str:
    """Return the type of a message about one alert. `kind`: a NotificationKind."""
    return f"{_ALERT_PREFIX}{kind}"


def problem_type(kind: str) -> str:
    """Return the type of a message about a problem of dcmon itself. `kind`: a NotificationKind."""
    return f"{_PROBLEM_PREFIX}{kind}"


def is_problem_type(message_type: str) -> bool:
    """True if a message of this type is about a problem of dcmon itself."""
    return message_type.startswith(_PROBLEM_PREFIX)
