"""Bodies of messages about several alerts: a group of one model, or a digest of what a cap held back."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from dcmon.formatting import command_prefix
from dcmon.notifications.notifications import FORMAT

LISTED = 500  # notifications in a digest; all are counted
STATUS = "dcmon status"
BRIEF = ("id", "model", "version", "monitor", "rule", "severity", "state", "since", "value")


def combine(bodies: Sequence[Mapping[str, Any]], message_id: str, *, is_digest: bool) -> dict[str, Any]:
    """One message of the bodies of notifications. The same bodies give the same message, whenever it is tried."""
    if is_digest:
        return _digest(bodies, message_id)
    return dict(bodies[0]) if len(bodies) == 1 else _group(bodies)


def _group(bodies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "type": "alerts",
        "timestamp": _newest(bodies),
        "organization": bodies[0]["organization"],
        "model": bodies[0]["alert"].get("model"),
        "count": len(bodies),
        "counts": {"severity": _counted(bodies, "severity")},
        "notifications": [_inner(body, body["alert"]) for body in bodies],
        "command": STATUS if _is_of_dcmon(bodies) else f"{command_prefix(bodies[0]['organization'])} alert list",
    }


def _digest(bodies: Sequence[Mapping[str, Any]], message_id: str) -> dict[str, Any]:
    organization = bodies[0]["organization"]
    return {
        "format": FORMAT,
        "type": "digest",
        "timestamp": _newest(bodies),
        "organization": organization,
        "count": len(bodies),
        "counts": {name: _counted(bodies, name) for name in ("severity", "model")}
        | {"type": dict(Counter(str(body["type"]) for body in bodies).most_common())},
        "notifications": [_inner(body, _brief(body)) for body in bodies[:LISTED]],
        "command": STATUS
        if _is_of_dcmon(bodies)
        else f"{command_prefix(organization)} notification list --message {message_id} --limit {len(bodies)}",
    }


def _is_of_dcmon(bodies: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all is about dcmon itself, which has no alerts to list."""
    return all(str(body["type"]).startswith("dcmon.") for body in bodies)


def _brief(body: Mapping[str, Any]) -> dict[str, Any]:
    """An alert without what is long; what is wrong with dcmon is a sentence alone."""
    kept = (*BRIEF, "reason") if _is_of_dcmon([body]) else BRIEF
    return {key: body["alert"][key] for key in kept if key in body["alert"]}


def _inner(body: Mapping[str, Any], alert: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: body[key] for key in ("type", "timestamp", "link", "command") if key in body}
    return {"type": kept.pop("type"), "timestamp": kept.pop("timestamp"), "alert": dict(alert), **kept}


def _newest(bodies: Sequence[Mapping[str, Any]]) -> str:
    return max(str(body["timestamp"]) for body in bodies)


def _counted(bodies: Sequence[Mapping[str, Any]], name: str) -> dict[str, int]:
    return dict(Counter(str(body["alert"].get(name)) for body in bodies).most_common())
