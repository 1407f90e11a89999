"""Move the committed offsets of ingestion."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dcmon.commands.shared.arguments import operator_name
from dcmon.ingestion import seek

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.ingestion.seek import PlannedSeek


def apply(app: "App", moves: "Sequence[PlannedSeek]") -> None:
    """Move the offsets, and remark when they are moved."""
    seek.apply(app.engine, moves, operator_name())
    app.output.remark('Offsets are moved; running workers follow. "dcmon worker start ingest" starts a worker.')
