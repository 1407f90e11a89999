"""Add, change and end silences."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dcmon.commands.operations import matcher_names
from dcmon.commands.shared.dry_run_output import changes_are
from dcmon.commands.views import silence as view
from dcmon.db import work_queue
from dcmon.notifications import silences
from dcmon.notifications.silences import NewSilence

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.db.tables.org import Silence


@dataclass(frozen=True)
class SilenceChange:
    """What changes of a silence; None: it stays. `lasts`: from now, or from its start if it begins later."""

    matchers: Sequence[str] | None
    starts_at: datetime | None
    ends_at: datetime | None
    lasts: timedelta | None
    reason: str | None

    def apply_to(self, silence: "Silence", now: datetime) -> NewSilence:
        """Return what a silence is like after the change."""
        starts = self.starts_at or silence.starts_at
        ends = self.ends_at or (silence.ends_at if self.lasts is None else max(starts, now) + self.lasts)
        matchers = silence.matchers if self.matchers is None else self.matchers
        reason = silence.reason if self.reason is None else self.reason
        return NewSilence(matchers, starts, ends, reason, silence.by)


def add(app: "App", new: NewSilence, *, yes: bool) -> dict[str, Any]:
    """Add a silence; its row also has the firing alerts that it holds back. Raises InvalidInput.

    Names that nothing has are asked about before, unless `yes`.
    """
    silences.require_usable(new, datetime.now(UTC))  # before a question
    with app.org() as session:
        sentences = matcher_names.unknown(session, new.matchers)
    matcher_names.ask(app, sentences, "create the silence", yes=yes)
    with app.org() as session:
        silence = silences.add(session, new, datetime.now(UTC))
        return {**view.row(silence), "alerts": silences.matching_alerts(session, silence)}


def find(app: "App", silence_id: int) -> int:
    """Check that there is a silence, and return its id. Raises SilenceNotFound."""
    with app.org() as session:
        return silences.get(session, silence_id).id


def ask(app: "App", wanted: SilenceChange, *, yes: bool) -> None:
    """Ask about names in new matchers that nothing has. Raises InvalidInput."""
    with app.org() as session:
        sentences = matcher_names.unknown(session, wanted.matchers or [])
    matcher_names.ask(app, sentences, "change the silence", yes=yes)


def change(app: "App", silence_id: int, wanted: SilenceChange) -> dict[str, Any]:
    """Change a silence, and enqueue the notifications that it no longer holds back.

    Its row also has the firing alerts that it holds back now. Raises SilenceNotFound, InvalidInput or Conflict.
    """
    org, now = app.organization(), datetime.now(UTC)
    with app.org(org) as session:
        silence = silences.get(session, silence_id, is_locked=True)
        silences.change(session, silence, wanted.apply_to(silence, now), now)
        row = {**view.row(silence), "alerts": silences.matching_alerts(session, silence)}
    app.enqueue(org, work_queue.Work.notify)
    return row


def end(app: "App", silence_id: int) -> dict[str, Any]:
    """End a silence now and enqueue the notifications that it held back. Raises NotFound."""
    org = app.organization()
    changes_are(app.output, "silences", "end {}")
    with app.org(org) as session:
        row = view.row(silences.end(session, silence_id, datetime.now(UTC)))
    app.enqueue(org, work_queue.Work.notify)
    return {"deleted": row.pop("id"), **row, "state": "over"}
