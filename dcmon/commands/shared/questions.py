"""What commands ask before a change that can't be undone; a dry run has counted what the change does."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dcmon.commands.views import effects as view
from dcmon.formatting import listed
from dcmon.states import AlertChangeKind

if TYPE_CHECKING:
    from dcmon.db.dry_runs import Effects


def ended_alerts(effects: "Effects", _typed: Mapping[str, Any]) -> str | None:
    """Ask if open alerts would end: their receivers are told so."""
    ended = (AlertChangeKind.RESOLVED, AlertChangeKind.RETRACTED)
    if not any(effects.count("alert_changes", kind) for kind in ended):
        return None
    return f"This would {listed(view.phrases(effects))}. Continue?"


def revoked_token(effects: "Effects", typed: Mapping[str, Any]) -> str | None:
    """Ask before a token is refused for ever; not if it is already."""
    if not effects.count("tokens", view.CHANGED):
        return None
    prefixes = typed["prefixes"]
    whose = "its" if len(prefixes) == 1 else "their"
    return f"Delete {listed([repr(prefix) for prefix in prefixes])}? From then on, {whose} clients get 401."


def ended_silence(effects: "Effects", typed: Mapping[str, Any]) -> str | None:
    """Ask before what silences hold back is sent; not if they are over."""
    if not effects.count("silences", view.CHANGED):
        return None
    ids = [str(silence_id) for silence_id in typed["silence_ids"]]
    return f"End {'silence' if len(ids) == 1 else 'silences'} {listed(ids)} for good, and send what is held back?"


def rotated_secret(_effects: "Effects", typed: Mapping[str, Any]) -> str:
    """Ask before the signing secrets of receivers are replaced."""
    names = listed([repr(name) for name in typed["names"]])
    if len(typed["names"]) == 1:
        return f"Give {names} a new signing secret? The old one is valid for 24 h more."
    return f"Give {names} new signing secrets? The old ones are valid for 24 h more."
