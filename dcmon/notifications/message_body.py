"""Bodies of messages about several alerts.

Such a message is a group of alerts of one model, or a digest of all notifications beyond the receiver's cap.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dcmon.formatting import command_prefix
from dcmon.notifications.message_types import MessageType, is_problem_type
from dcmon.notifications.notification_writer import FORMAT

LISTED_AT_MOST = 500  # notifications in a digest; the counts cover all
STATUS_COMMAND = "dcmon status"
BRIEF_KEYS = ("id", "model", "version", "monitor", "rule", "severity", "state", "since", "value")


def combine(bodies: Sequence[Mapping[str, Any]], message_id: str, *, is_digest: bool) -> dict[str, Any]:
    """Combine the bodies of notifications into one.

    The same bodies give the same result in each attempt.
    """
    if is_digest:
        return _digest(bodies, message_id)
    return dict(bodies[0]) if len(bodies) == 1 else _group(bodies)


def _group(bodies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    organization = bodies[0]["organization"]
    return {
        "format": FORMAT,
        "type": MessageType.GROUP,
        "timestamp": _newest_timestamp(bodies),
        "organization": organization,
        "model": bodies[0]["alert"].get("model"),
        "count": len(bodies),
        "counts": {"severity": _counts(bodies, "severity")},
        "notifications": [_inner(body, body["alert"]) for body in bodies],
        "command": STATUS_COMMAND if _are_about_dcmon(bodies) else f"{command_prefix(organization)} alert list",
    }


def _digest(bodies: Sequence[Mapping[str, Any]], message_id: str) -> dict[str, Any]:
    organization = bodies[0]["organization"]
    list_command = f"{command_prefix(organization)} notification list --message {message_id} --limit {len(bodies)}"
    return {
        "format": FORMAT,
        "type": MessageType.DIGEST,
        "timestamp": _newest_timestamp(bodies),
        "organization": organization,
        "count": len(bodies),
        "counts": {name: _counts(bodies, name) for name in ("severity", "model")}
        | {"type": dict(Counter(str(body["type"]) for body in bodies).most_common())},
        "notifications": [_inner(body, _brief(body)) for body in bodies[:LISTED_AT_MOST]],
        "command": STATUS_COMMAND if _are_about_dcmon(bodies) else list_command,
    }


def _are_about_dcmon(bodies: Sequence[Mapping[str, Any]]) -> bool:
    """True if all are about problems of dcmon itself, which `alert list` does not list."""
    return all(is_problem_type(body["type"]) for body in bodies)


def _brief(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the main values of an alert or of a problem of dcmon."""
    keys = (*BRIEF_KEYS, "reason") if _are_about_dcmon([body]) else BRIEF_KEYS
    return {key: body["alert"][key] for key in keys if key in body["alert"]}


def _inner(body: Mapping[str, Any], alert: Mapping[str, Any]) -> dict[str, Any]:
    following = {key: body[key] for key in ("link", "command") if key in body}
    return {"type": body["type"], "timestamp": body["timestamp"], "alert": dict(alert), **following}


def _newest_timestamp(bodies: Sequence[Mapping[str, Any]]) -> str:
    return max(str(body["timestamp"]) for body in bodies)


def _counts(bodies: Sequence[Mapping[str, Any]], key: str) -> dict[str, int]:
    return dict(Counter(str(body["alert"].get(key)) for body in bodies).most_common())
