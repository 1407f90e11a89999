"""Add, change, rename and delete mute times."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from dcmon.commands.operations import matcher_names
from dcmon.commands.shared.several import Deletion
from dcmon.commands.views import mute as view
from dcmon.db import work_queue
from dcmon.notifications import mute_times
from dcmon.notifications.mute_times import Schedule

if TYPE_CHECKING:
    from dcmon.app import App


ALL = "all"


@dataclass(frozen=True)
class TypedMuteTime:
    """A mute time as typed."""

    name: str
    days: str
    hours: str
    time_zone: str
    matchers: Sequence[str]


@dataclass(frozen=True)
class MuteChange:
    """What changes of a mute time, as typed; None: it stays. `matchers`: all of them; "all" alone: all alerts."""

    days: str | None
    hours: str | None
    time_zone: str | None
    matchers: Sequence[str] | None

    @property
    def wanted_matchers(self) -> Sequence[str] | None:
        """Return the new matchers; None: they stay."""
        return [] if self.matchers == [ALL] else self.matchers

    def require_usable(self) -> None:
        """Check what can be checked without the mute time. Raises InvalidInput."""
        for parse, text in ((mute_times.parse_days, self.days), (mute_times.parse_hours, self.hours)):
            if text is not None:
                parse(text)

    def to_schedule(self, stored: Schedule) -> Schedule:
        """Return a schedule with the changes."""
        return Schedule(self.days or stored.days, self.hours or stored.hours, self.time_zone or stored.time_zone)


def add(app: "App", typed: TypedMuteTime, *, yes: bool) -> dict[str, Any]:
    """Add a mute time. Raises InvalidInput or Conflict. Names that nothing has are asked about before, unless `yes`."""
    values = (typed.name, typed.days, typed.hours, typed.time_zone, typed.matchers)
    with app.org() as session:  # what can't be used is refused before a question
        mute_times.add(session, *values)
        sentences = matcher_names.unknown(session, typed.matchers)
        session.rollback()
    matcher_names.ask(app, sentences, "create the mute time", yes=yes)
    with app.org() as session:
        return view.row(mute_times.add(session, *values))


def find(app: "App", name: str) -> str:
    """Check that there is a mute time, and return its name. Raises MuteTimeNotFound."""
    with app.org() as session:
        return mute_times.find(session, name).name


def ask(app: "App", wanted: MuteChange, *, yes: bool) -> None:
    """Check a change, and ask about names in its matchers that nothing has. Raises InvalidInput."""
    wanted.require_usable()
    with app.org() as session:
        sentences = matcher_names.unknown(session, wanted.wanted_matchers or [])
    matcher_names.ask(app, sentences, "change the mute time", yes=yes)


def change(app: "App", name: str, wanted: MuteChange) -> dict[str, Any]:
    """Change a mute time, and enqueue the notifications that it no longer holds back. Raises MuteTimeNotFound."""
    org = app.organization()
    with app.org(org) as session:
        mute_time = mute_times.find(session, name, is_locked=True)
        matchers = mute_time.matchers if wanted.wanted_matchers is None else wanted.wanted_matchers
        mute_times.change(session, mute_time, name, wanted.to_schedule(mute_times.schedule(mute_time)), matchers)
        row = view.row(mute_time)
    app.enqueue(org, work_queue.Work.notify)
    return row


def rename(app: "App", name: str, new_name: str) -> dict[str, Any]:
    """Rename a mute time. Raises MuteTimeNotFound, InvalidInput or Conflict."""
    with app.org() as session:
        mute_times.rename(session, mute_times.find(session, name, is_locked=True), new_name)
    return {"name": new_name, "old_name": name}


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
