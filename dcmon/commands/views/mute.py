"""Mute times, as rows."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dcmon.notifications import mute_times

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.db.tables.org import MuteTime


def rows(app: "App") -> list[dict[str, Any]]:
    """List mute times, by name."""
    with app.org() as session:
        return [row(mute_time) for mute_time in mute_times.entries(session)]


def row(mute_time: "MuteTime") -> dict[str, Any]:
    """Return a mute time as a row; `holds_until` is None unless it holds now."""
    return {
        "name": mute_time.name,
        "when": mute_times.format_schedule(mute_time),
        "matchers": mute_time.matchers,
        "holds_until": mute_times.current_end(mute_time, datetime.now(UTC)),
    }


def detail(app: "App", name: str) -> dict[str, Any]:
    """Read a mute time. Raises NotFound."""
    with app.org() as session:
        return row(mute_times.find(session, name))


def schedule(app: "App", name: str) -> str:
    """Return days and hours of a mute time as text. Raises NotFound."""
    with app.org() as session:
        return mute_times.format_schedule(mute_times.find(session, name))
