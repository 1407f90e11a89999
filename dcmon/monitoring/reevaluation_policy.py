from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from dcmon.db.tables.org import Result
from dcmon.storage.sampling import Extent

SIGNIFICANT_CHANGE = 0.10  # a window that gained a tenth of its rows or labels is evaluated again at once
MAX_QUIET = timedelta(hours=24)
MAX_DOUBLINGS = 10  # times that the quiet period of a window is doubled


@dataclass(frozen=True)
class Decision:
    """Whether a monitor is to be evaluated now, and otherwise when to look again (None: when touched)."""

    now: bool
    again_at: datetime | None = None


def decide(
    there: Extent,
    last: Result | None,
    *,
    needs_labels: bool,
    label_ratio: float,
    label_delay: timedelta,
    quiet: timedelta,
    is_same_monitor: bool,
    touched_at: datetime,
    now: datetime,
    compared: Extent | None = None,
) -> Decision:
    """Whether a complete window is evaluated now. See docs/concepts.md, "When a window is due".

    A first evaluation waits only for labels: until the model's ratio is reached, or its delay has passed since the
    window's newest row was logged; of the window that it is compared with too. A further one waits until the window
    gained or lost a tenth, or was quiet a while: `quiet` after the first, and twice as long after each further one, so
    that what trickles in for weeks does not have the window evaluated by each drop.
    `compared`: what is in the earlier window that it is compared with, whose late rows count as its own.
    """
    if needs_labels:
        waits_until = labels_awaited_until(
            [there, *([] if compared is None else [compared])], label_ratio, label_delay, now
        )
        if waits_until is not None:
            return Decision(False, waits_until)
    if last is None or not is_same_monitor:
        return Decision(True)
    if is_up_to_date(last, there, compared, needs_labels):
        return Decision(False)
    is_worth = (
        _has_moved(there.n, last.n_rows)
        or (needs_labels and _has_moved(there.n_labelled, last.n_labelled))
        or (compared is not None and _has_moved(compared.n_used(needs_labels), last.compared_n))
    )
    waits = quiet * 2 ** min(last.revision - 1, MAX_DOUBLINGS)
    quiet_at = min(touched_at + waits, last.computed_at + MAX_QUIET)
    return Decision(True) if is_worth or quiet_at <= now else Decision(False, quiet_at)


def labels_awaited_until(windows: Iterable[Extent], ratio: float, delay: timedelta, now: datetime) -> datetime | None:
    """Until when labels are waited for in any of these windows; None when they are not."""
    short = [each for each in windows if each.n and each.label_ratio < ratio]
    waits = [until for each in short if (until := (each.logged_at or now) + delay) > now]
    return max(waits, default=None)


def is_up_to_date(last: Result, there: Extent, compared: Extent | None, needs_labels: bool) -> bool:
    """Whether a result is of all that is in its window now, and in the earlier one that it was compared with."""
    return not _is_stale(there, last, needs_labels) and not _is_overtaken(compared, last, needs_labels)


def _is_stale(there: Extent, last: Result, needs_labels: bool) -> bool:
    has_new_labels = needs_labels and there.labels_revision > last.labels_revision
    return there.rows_revision > last.rows_revision or has_new_labels


def _is_overtaken(compared: Extent | None, last: Result, needs_labels: bool) -> bool:
    """Whether the earlier window that it was compared with has other rows by now."""
    if compared is None:
        return False
    has_new_labels = needs_labels and compared.labels_revision > last.compared_labels_revision
    return compared.rows_revision > last.compared_rows_revision or has_new_labels


def _has_moved(n: int, before: int) -> bool:
    return abs(n - before) >= max(1, SIGNIFICANT_CHANGE * before)
