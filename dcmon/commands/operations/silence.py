"""Add and end silences."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dcmon.commands.operations import matcher_names
from dcmon.commands.views import silence as view
from dcmon.db import work_queue
from dcmon.notifications import silences

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.notifications.silences import NewSilence


def add(app: "App", new: "NewSilence", *, yes: bool) -> dict[str, Any]:
    """Add a silence; its row also has the firing alerts that it holds back. Raises InvalidInput.

    Names that nothing has are asked about before, unless `yes`.
    """
    silences.require_usable(new, datetime.now(UTC))  # before a question
    with app.org() as session:
        sentences = matcher_names.unknown(session, new.matchers)
    matcher_names.ask(app, sentences, "silence", yes=yes)
    with app.org() as session:
        silence = silences.add(session, new, datetime.now(UTC))
        return {**view.row(silence), "alerts": silences.matching_alerts(session, silence)}


def find(app: "App", silence_id: int) -> int:
    """Check that there is a silence, and return its id. Raises SilenceNotFound."""
    with app.org() as session:
        return silences.get(session, silence_id).id


def end(app: "App", silence_id: int) -> dict[str, Any]:
    """End a silence now and enqueue the notifications that it held back. Raises NotFound."""
    org = app.organization()
    with app.org(org) as session:
        row = view.row(silences.end(session, silence_id, datetime.now(UTC)))
    app.enqueue(org, work_queue.Work.notify)
    return {"deleted": row.pop("id"), **row, "state": "over"}
