"""What a dry run would have changed, in words and as data."""

from typing import TYPE_CHECKING

from dcmon.formatting import count_of, listed
from dcmon.states import AlertChangeKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dcmon.db.dry_runs import Effects

ADDED, CHANGED, REMOVED = "added", "changed", "removed"  # the same as in dcmon.db.dry_runs, which loads SQLAlchemy
# Tables that operators know, with their noun.
NOUNS = {
    "organizations": "organization", "members": "member", "users": "user", "tokens": "token",
    "invitations": "invitation", "models": "model", "model_members": "member of a model", "model_notes": "note",
    "versions": "version", "checks": "check", "monitors": "monitor", "alert_rules": "rule", "alerts": "alert",
    "silences": "silence", "mute_times": "mute time", "webhooks": "receiver", "chosen_levels": "notification level",
    "notifications": "notification", "due_windows": "window", "results": "result", "sources": "source",
    "ingested_files": "file", "quarantine": "quarantined row", "dashboards": "dashboard",
    "dead_letters": "dead letter", "store_keys": "set of keys",
}  # fmt: skip
VERBS = {ADDED: "add {}", CHANGED: "change {}", REMOVED: "delete {}"}
# Where the table and the kind of change say it in other words.
PHRASES = {
    ("due_windows", ADDED): "evaluate {}",
    ("due_windows", CHANGED): "evaluate {} already due",
    ("notifications", ADDED): "send {}",
}
ALERT_VERBS = {
    AlertChangeKind.PENDING: "open {}", AlertChangeKind.FIRING: "let {} fire", AlertChangeKind.RESOLVED: "end {}",
    AlertChangeKind.REOPENED: "reopen {}", AlertChangeKind.RETRACTED: "retract {}",
    AlertChangeKind.ACKNOWLEDGED: "acknowledge {}", AlertChangeKind.UNACKNOWLEDGED: "withdraw {}'s acknowledgement",
    AlertChangeKind.ESCALATED: "escalate {}", AlertChangeKind.DEESCALATED: "de-escalate {}",
}  # fmt: skip


def data(effects: "Effects") -> dict[str, dict[str, int]]:
    """Return the counts by table and kind of change, of the tables that operators know."""
    counted: dict[str, dict[str, int]] = {}
    for (table, kind), number in sorted(effects.counts.items()):
        if table in NOUNS:
            counted.setdefault(table, {})[kind] = number
        elif table == "alert_changes" and kind in ALERT_VERBS:
            counted.setdefault("alerts", {})[kind] = number
    if len(counted.get("alerts", {})) > 1:  # what happens to alerts says more than how often their rows change
        counted["alerts"].pop(CHANGED, None)
    return counted


def phrases(effects: "Effects", own: "Mapping[tuple[str, str], str] | None" = None) -> list[str]:
    """Return what would be done, like "end 3 alerts", the most important first; alerts by what happens to them.

    `own`: what a command calls changes of a table, like those of PHRASES.
    """
    counted = {kind: effects.count("alert_changes", kind) for kind in ALERT_VERBS}
    parts = [ALERT_VERBS[kind].format(count_of(number, "alert")) for kind, number in counted.items() if number]
    has_alerts = bool(parts)
    for verb, phrase in VERBS.items():
        for table, noun in NOUNS.items():
            number = effects.count(table, verb)
            if number and not (table == "alerts" and has_alerts):
                parts.append({**PHRASES, **(own or {})}.get((table, verb), phrase).format(_counted(number, noun)))
    return parts


def _counted(number: int, noun: str) -> str:
    head, of, owner = noun.partition(" of ")
    return f"{count_of(number, head)}{of}{owner}"


def sentence(parts: "Sequence[str]") -> str:
    """Return what a dry run would have done, in a sentence."""
    if not parts:
        return "Dry run: nothing would change."
    return f"Dry run: this would {listed(parts)}. Nothing was changed."
