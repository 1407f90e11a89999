"""Move organizations of the old system."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dcmon.adoption import adopt
from dcmon.adoption.old_database import LEFT_OUT
from dcmon.commands.shared.dry_run_output import would
from dcmon.formatting import count_of

if TYPE_CHECKING:
    from dcmon.app import App


def run(app: "App", url: str, only: Sequence[str], *, dry_run: bool) -> list[dict[str, Any]]:
    """Move organizations, and return a row for each kind of object. Raises what adopt.run raises.

    `is_unexpected`: objects of a kind that dcmon moves could not be moved.
    """
    source = sys.stdin.readline().strip() if url == "-" else url
    adoption = adopt.Adoption(app.engine, app.settings, app.output.remark)
    expected = {table.replace("_", " ") for table in LEFT_OUT}
    summaries = adopt.run(adoption, source, only, dry_run=dry_run)
    adopted = [
        summary for summary in summaries if set(summary.kinds) != {"organization"}
    ]  # an earlier run moved the others
    would(app.output, f"move {count_of(len(adopted), 'organization')}" if adopted else "")
    return [
        {**row, "is_unexpected": bool(row["not_adopted"]) and row["kind"] not in expected}
        for summary in summaries
        for row in summary.rows()
    ]
