"""Add and delete mute times."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from dcmon.commands.operations import matcher_names
from dcmon.commands.shared.several import Deletion
from dcmon.commands.views import mute as view
from dcmon.db import work_queue
from dcmon.notifications import mute_times

if TYPE_CHECKING:
    from dcmon.app import App


@dataclass(frozen=True)
class TypedMuteTime:
    """A mute time as typed."""

    name: str
    days: str
    hours: str
    time_zone: str
    matchers: Sequence[str]


def add(app: "App", typed: TypedMuteTime, *, yes: bool) -> dict[str, Any]:
    """Add a mute time. Raises InvalidInput or Conflict. Names that nothing has are asked about before, unless `yes`."""
    values = (typed.name, typed.days, typed.hours, typed.time_zone, typed.matchers)
    with app.org() as session:  # what can't be used is refused before a question
        mute_times.add(session, *values)
        sentences = matcher_names.unknown(session, typed.matchers)
        session.rollback()
    matcher_names.ask(app, sentences, "mute time", yes=yes)
    with app.org() as session:
        return view.row(mute_times.add(session, *values))


def deletion(app: "App", name: str) -> Deletion:
    """Find a mute time. Raises NotFound."""
    loss = f"mute time {name!r} ({view.schedule(app, name)})"
    return Deletion(name, {"deleted": name}, loss, partial(_delete, app, name))


def _delete(app: "App", name: str) -> None:
    """Delete a mute time and enqueue the notifications that it held back. Raises NotFound."""
    org = app.organization()
    with app.org(org) as session:
        session.delete(mute_times.find(session, name))
    app.enqueue(org, work_queue.Work.notify)
