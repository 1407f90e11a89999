"""The log of changes, as rows."""

from typing import TYPE_CHECKING, Any

from dcmon.output import Fields, Page, Table
from dcmon.tenancy import audit_log

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.tenancy.audit_log import EntryFilter

LONGEST = 60  # characters of a value in a table
UNSET = "–"  # in place of null


def listing(app: "App", wanted: "EntryFilter", limit: int) -> Page:
    """List the newest entries that match a filter."""
    entries, position = audit_log.entries(app.engine, app.organization(), wanted, limit=limit)
    remarks = [f"There are older changes: --limit {2 * limit} shows more."] if position is not None else []
    rows = [_row(entry) for entry in entries]
    columns = ["at", "author", "from", "action", "object", "changes"]
    return Page(entries, [Table(rows, columns, empty="No change is recorded.")], remarks)


def detail(app: "App", entry_id: str) -> Page:
    """Show a change with its values before and after it. Raises NotFound."""
    entry = audit_log.entry(app.engine, app.organization(), entry_id)
    before, after = entry["before"] or {}, entry["after"] or {}
    fields = [
        {"field": field, "before": before.get(field), "after": after.get(field)}
        for field in dict.fromkeys([*before, *after])
    ]
    about = {name: value for name, value in entry.items() if name not in ("before", "after")}
    return Page(entry, [Fields(about), Table(fields, ["field", "before", "after"], empty="It has no values.")])


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    name = "" if not entry["name"] else f" {entry['name']!r}"
    number = "" if entry["object_id"] is None else f" {entry['object_id']}"
    origin = [entry["via"], entry["address"], entry["token"]]
    return {
        "at": entry["at"],
        "author": entry["author"],
        "from": " ".join(part for part in origin if part),
        "action": entry["action"],
        "object": f"{entry['kind']}{number}{name}",
        "changes": _changes(entry["before"] or {}, entry["after"] or {}),
    }


def _changes(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Return the changed values of an object; nothing of one that was created or deleted."""
    if not before or not after:
        return ""
    return "; ".join(f"{field}: {_shortened(before.get(field))} → {_shortened(after.get(field))}" for field in after)


def _shortened(value: Any) -> str:
    text = UNSET if value is None else str(value)  # "none" may be a value itself
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
