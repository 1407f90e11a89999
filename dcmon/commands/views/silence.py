"""Silences, as rows."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dcmon.notifications import silences

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.db.tables.org import Silence


def rows(app: "App", *, ended: bool) -> list[dict[str, Any]]:
    """List silences that hold now or later, and with `ended` those that are over."""
    now = datetime.now(UTC)
    with app.org() as session:
        return [
            {**row(silence), "state": _state(silence, now)} for silence in silences.entries(session, now, ended=ended)
        ]


def detail(app: "App", silence_id: int) -> dict[str, Any]:
    """Read a silence. Raises SilenceNotFound."""
    with app.org() as session:
        silence = silences.get(session, silence_id)
        return {**row(silence), "state": _state(silence, datetime.now(UTC))}


def row(silence: "Silence") -> dict[str, Any]:
    """Return a silence as a row."""
    return {
        "id": silence.id,
        "matchers": silence.matchers,
        "from": silence.starts_at,
        "until": silence.ends_at,
        "by": silence.by,
        "reason": silence.reason,
    }


def _state(silence: "Silence", now: datetime) -> str:
    if silence.ends_at <= now:
        return "over"
    return "holds" if silence.starts_at <= now else "to come"
