"""Decide when a complete window is evaluated, and when it is evaluated again."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from dcmon.db.tables.org import Result
from dcmon.storage.sampling import WindowStatistics

SIGNIFICANT_CHANGE = 0.10  # a window that gained or lost a tenth of its rows or labels is evaluated again at once
MAX_QUIET = timedelta(hours=24)  # the longest time from a result to its next revision
MAX_DOUBLINGS = 10  # of the quiet period of a window, so that the number stays small


@dataclass(frozen=True)
class Decision:
    """The decision to evaluate a monitor now or not, and when to decide again.

    `again_at`: None if new rows decide when.
    """

    is_due: bool
    again_at: datetime | None = None


@dataclass(frozen=True)
class CheckInputs:
    """What a check would read of a window now.

    `needs_labels`: the check waits for labels. `uses_late_labels`: it does not wait for them, but reads those that are
    there, so that later ones count like late rows. `compared`: the statistics of the earlier window that it is compared
    with. Late rows of that window count like late rows of the window itself.
    """

    statistics: WindowStatistics
    needs_labels: bool
    compared: WindowStatistics | None = None
    uses_late_labels: bool = False

    @property
    def reads_labels(self) -> bool:
        """True if new labels change the value."""
        return self.needs_labels or self.uses_late_labels


@dataclass(frozen=True)
class WaitingTerms:
    """What the evaluation of a window waits for.

    `label_ratio`: the share of rows that need a label. `label_delay`: how long labels are awaited at most.
    `quiet_period`: how long no row may come before the window is evaluated again.
    """

    label_ratio: float
    label_delay: timedelta
    quiet_period: timedelta


def decide(
    inputs: CheckInputs,
    last: Result | None,
    terms: WaitingTerms,
    *,
    is_same_monitor: bool,
    touched_at: datetime,
    now: datetime,
) -> Decision:
    """Decide whether a complete window is evaluated now. See docs/concepts.md, "When a window is due".

    The first evaluation waits only for labels: until the ratio is reached, or the delay has passed since the newest
    row was logged; the same holds for the window that it is compared with. A further evaluation waits until the window
    has gained or lost a tenth of its rows or labels, or until no row has come for the quiet period. This period doubles
    with each revision: otherwise labels that come one by one for weeks would cause an evaluation each.

    `last`: the monitor's newest result of the window. `is_same_monitor`: True if it is of the monitor's current
    revision.
    """
    if inputs.needs_labels:
        windows = [inputs.statistics, *([] if inputs.compared is None else [inputs.compared])]
        awaited_until = labels_awaited_until(windows, terms.label_ratio, terms.label_delay, now)
        if awaited_until is not None:
            return Decision(False, awaited_until)
    if last is None or not is_same_monitor:
        return Decision(True)
    if is_up_to_date(last, inputs):
        return Decision(False)
    quiet_period = terms.quiet_period * 2 ** min(last.revision - 1, MAX_DOUBLINGS)
    quiet_at = min(touched_at + quiet_period, last.computed_at + MAX_QUIET)
    if _has_significant_change(last, inputs) or quiet_at <= now:
        return Decision(True)
    return Decision(False, quiet_at)


def labels_awaited_until(
    windows: Iterable[WindowStatistics], ratio: float, delay: timedelta, now: datetime
) -> datetime | None:
    """Return the time until which labels are awaited; None if they are not."""
    unlabelled = [window for window in windows if window.n and window.label_ratio < ratio]
    ends = [end for window in unlabelled if (end := (window.logged_at or now) + delay) > now]
    return max(ends, default=None)


def is_up_to_date(last: Result, inputs: CheckInputs) -> bool:
    """Return True if the result is of all rows that its window has now.

    The same must hold for the window that it is compared with.
    """
    return not _has_newer_rows(last, inputs) and not _has_newer_compared_rows(last, inputs)


def _has_newer_rows(last: Result, inputs: CheckInputs) -> bool:
    has_new_labels = inputs.reads_labels and inputs.statistics.labels_revision > last.labels_revision
    return inputs.statistics.rows_revision > last.rows_revision or has_new_labels


def _has_newer_compared_rows(last: Result, inputs: CheckInputs) -> bool:
    compared = inputs.compared
    if compared is None:
        return False
    has_new_labels = inputs.needs_labels and compared.labels_revision > last.compared_labels_revision
    return compared.rows_revision > last.compared_rows_revision or has_new_labels


def _has_significant_change(last: Result, inputs: CheckInputs) -> bool:
    statistics, compared = inputs.statistics, inputs.compared
    return (
        _is_significant(statistics.n, last.n_rows)
        or (inputs.reads_labels and _is_significant(statistics.n_labelled, last.n_labelled))
        or (compared is not None and _is_significant(compared.n_used(inputs.needs_labels), last.compared_n))
    )


def _is_significant(n: int, last_n: int) -> bool:
    return abs(n - last_n) >= max(1, SIGNIFICANT_CHANGE * last_n)
