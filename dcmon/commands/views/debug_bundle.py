"""What a debug bundle has, and where it is."""

from typing import TYPE_CHECKING

from dcmon.output import Page, Table

if TYPE_CHECKING:
    from dcmon.commands.operations.debug_bundle import Bundle


def written(bundle: "Bundle") -> Page:
    """List the parts of a bundle, with remarks on the file."""
    data = {"file": bundle.path, "bytes": bundle.size, "parts": list(bundle.rows)}
    rows = [{**row, "note": row["note"] or None} for row in bundle.rows]
    remarks = [
        f"Wrote {bundle.path} ({bundle.size / 1000:,.0f} kB). It was not sent anywhere. Secrets are removed; names of"
        " organizations, models and hosts are in it: read it before you pass it on."
    ]
    return Page(data, [Table(rows, ["part", "state", "bytes", "seconds", "note"], unfolded=["part"])], remarks)
