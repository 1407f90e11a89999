"""Silences and mute times whose matchers still have the old name of an object that was renamed."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dcmon.commands.views.old_names import KEY
from dcmon.notifications import matchers, mute_times, silences

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.notifications.matchers import Matcher

Renamed = Mapping[str, Sequence[tuple[str, str]]]  # the old and the new forms of labels


def of_monitor(model: str, old: str, new: str) -> Renamed:
    """Return the labels of a monitor that was renamed: its name, with and without its model."""
    return {"monitor": [(old, new), (f"{model}/{old}", f"{model}/{new}")]}


def of_model(old: str, new: str, monitors: Sequence[str]) -> Renamed:
    """Return the labels of a model that was renamed, and of its monitors."""
    return {"model": [(old, new)], "monitor": [(f"{old}/{monitor}", f"{new}/{monitor}") for monitor in monitors]}


def row(session: "Session", renamed: Renamed) -> dict[str, Any]:
    """Return the silences that are not over and the mute times with the old name, under KEY; nothing without one.

    They are not changed: a silence may be about objects of other models too, and files may declare it.
    """
    named = [*_silences(session, renamed), *_mute_times(session, renamed)]
    return {KEY: named} if named else {}


def _silences(session: "Session", renamed: Renamed) -> Iterator[str]:
    for silence in silences.entries(session, datetime.now(UTC)):
        if _has_old_name(silence.matchers, renamed):
            yield f"silence {silence.id}"


def _mute_times(session: "Session", renamed: Renamed) -> Iterator[str]:
    for mute_time in mute_times.entries(session):
        if _has_old_name(mute_time.matchers, renamed):
            yield f"mute time {mute_time.name!r}"


def _has_old_name(texts: Sequence[str], renamed: Renamed) -> bool:
    parsed = [matchers.parse(text) for text in texts]
    return any(_differs(matcher, *forms) for matcher in parsed for forms in renamed.get(matcher.label, ()))


def _differs(matcher: "Matcher", old: str, new: str) -> bool:
    """Return True if a matcher is another one for the new name. A new name that it matches already is none."""
    return matcher.matches({matcher.label: old}) is not matcher.matches({matcher.label: new}) and (
        matcher.matches({matcher.label: old}) is not matcher.operator.is_negated
    )
