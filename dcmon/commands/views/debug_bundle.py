"""What a debug bundle has, and where it is."""

from typing import TYPE_CHECKING

from dcmon.formatting import listed
from dcmon.output import Lines, Page, Table

if TYPE_CHECKING:
    from dcmon.commands.operations.debug_bundle import Bundle


def written(bundle: "Bundle") -> Page:
    """List the parts of a bundle, with remarks on the file. A note that several parts have follows once."""
    data = {"file": bundle.path, "bytes": bundle.size, "parts": list(bundle.rows)}
    parts_by_note: dict[str, list[str]] = {}
    for row in bundle.rows:
        parts_by_note.setdefault(row["note"], []).append(row["part"])
    rows = [
        {**row, "note": (row["note"] or None) if len(parts_by_note[row["note"]]) == 1 else None} for row in bundle.rows
    ]
    shared = [f"{listed(parts)}: {note}" for note, parts in parts_by_note.items() if note and len(parts) > 1]
    remarks = [
        f"Wrote {bundle.path} ({bundle.size / 1000:,.0f} kB). It was not sent anywhere. Secrets are removed; names of"
        " organizations, models and hosts are in it: read it before you pass it on."
    ]
    table = Table(rows, ["part", "state", "bytes", "seconds", "note"], unfolded=["part"])
    return Page(data, [table, Lines(["", *shared] if shared else [])], remarks)
