"""The sentences that say why a check has no value, and what to do next.

This module does not load deepchecks, because monitoring.row_loader imports it too.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from dcmon.states import ResultState

MAX_NAMES = 10  # in one sentence
MAX_LENGTH = 500  # of an error's message

NO_ROWS = 'The window has no rows. "dcmon status" and "dcmon ingest lag" show whether samples still arrive.'
NO_REFERENCE = (
    'The version has no reference to compare with. Load one with "dcmon reference load", or let the monitor compare'
    " with the previous window (--compare previous)."
)
ABSENT_CLASS = "the window lacks rows of this class, predictions of it, or rows of other classes"
NO_FEATURE_LEFT = (
    "The check's parameters columns and ignore_columns leave no feature that it reads. Change them, or choose other"
    " features with --feature."
)
BALANCED = "gave both classes the same weight, because one of them is rare in the reference (balance_classes)"


class SideName(StrEnum):
    """The rows on one side of a check, as sentences name them."""

    WINDOW = "window"
    REFERENCE = "reference"
    EARLIER_WINDOW = "earlier window"


class NoValue(Exception):
    """A check has no value; `state` and the message become its result."""

    def __init__(self, state: ResultState, reason: str) -> None:
        super().__init__(reason)
        self.state = state


def no_row_matches(where: str, *, labelled: bool = False) -> str:
    """Say that no row matches the filters."""
    row = "labelled row" if labelled else "row"
    return f'No {row} of the {where} matches the monitor\'s filters. "dcmon monitor show" shows the filters.'


def no_compared_rows(earlier_window: str) -> str:
    """Say that the earlier window, which a monitor compares with, has no rows."""
    return f"The {earlier_window} has no rows to compare with. The result is computed again when rows arrive."


def pruned_rows(earlier_window: str) -> str:
    """Say that rows of the earlier window, which a monitor compares with, are pruned."""
    return f"The {earlier_window} begins before the retention: its rows are pruned, so it can't be compared with."


def no_label(where: str) -> str:
    """Say that no row has a label."""
    if where == SideName.REFERENCE:
        return "No row of the reference has a label. Load one with labels (_dc_label)."
    return f"No row of the {where} has a label. The result is computed again when labels arrive."


def no_prediction(where: str) -> str:
    """Say that no row has a prediction."""
    return f"No row of the {where} has a prediction. Log samples with _dc_prediction."


def no_probabilities() -> str:
    """Say that scorers need probabilities, and no row has them."""
    return (
        "The check needs probabilities, and no row has them. Name the version's classes and log"
        " _dc_prediction_probabilities, or choose scorers of classes, such as accuracy."
    )


def no_probabilities_to_calibrate() -> str:
    """Say that scores can't be estimated without probabilities in the reference."""
    return (
        "Scores are estimated from probabilities that are calibrated on the reference, and no row of it has"
        ' probabilities. Load one with _dc_prediction_probabilities ("dcmon reference load --replace").'
    )


def not_estimated(reason: str) -> str:
    """Say why scores can't be estimated."""
    return f"Scores {reason}. Load a reference of rows that the model did not learn from, or calibrate the model."


def too_few_to_calibrate(reason: str) -> str:
    """Say that the reference is too small to calibrate probabilities."""
    return f'{reason} Load more labelled rows with "dcmon reference load".'


def classes_needed() -> str:
    """Say that the version must name its classes."""
    return "Scores are estimated from probabilities of classes, and the version names no classes. Create one that does."


def too_few_labels(n: int, needed: int) -> str:
    """Return the remark on a window whose labels are too few to compare with an estimate."""
    return f"no realised score: {n:,} rows have a label, and {needed:,} are needed (min_labels)"


def unknown_features(unknown: Sequence[str], known: Iterable[str]) -> str:
    """Say that chosen features do not exist."""
    has = first_names(known) or "no features"
    return f"There is no feature {first_names(unknown)} in this version. It has {has}."


def unread_types(types: Iterable[str]) -> str:
    """Say that no feature has a type that the check reads."""
    names = ", ".join(sorted(types))
    return f"None of the features has a type that the check reads ({names}). Choose other features with --feature."


def all_null(features: Sequence[str]) -> str:
    """Say that columns have no values."""
    names = first_names(features)
    return f"All values of {names} are null in the window. Check whether the service still sends them."


def too_few_rows(n_by_side: Mapping[SideName, int], min_samples: int) -> str:
    """Say that one side of the check has fewer rows than the check needs."""
    counts = " and ".join(f"{n:,} in the {side}" for side, n in n_by_side.items())
    return (
        f"Too few rows: {counts}, and at least {min_samples:,} with a value are needed on each side."
        " Widen the monitor's window, or lower the check's min_samples."
    )


def too_few_for_noise(n: int, m: int, needed: int | None) -> str:
    """Say that noise would hide even a large change."""
    if needed is None:
        return (
            f"Too few rows: {m:,} in the reference, so that noise hides even a large change. Load a larger reference."
        )
    return (
        f"Too few rows: {n:,} in the window and {m:,} in the reference, and {needed:,} are needed, so that noise does"
        " not hide a large change. Widen the monitor's window."
    )


def left_out(n: int, where: SideName, uses_probabilities: bool) -> list[str]:
    """Return the remark on rows that lack an output; no remark if no row lacks one."""
    output = "a prediction and probabilities" if uses_probabilities else "a prediction"
    return [f"left out {n} rows of the {where} without {output}"] if n else []


def some_features(n: int, n_all: int) -> str:
    """Remark that the monitor reads only some features."""
    return f"read {n:,} of {n_all:,} features, because the monitor reads no more (--max-features)"


_IS_PLAIN_MEAN = " is the plain mean of "


def plain_mean(metric: str, n: int) -> str:
    """Remark that a weighted number is a mean, because there are no weights."""
    return f"{metric}{_IS_PLAIN_MEAN}{n:,} features, because the version has no importance of each feature"


def name_of_plain_mean(metric: str, remarks: str | None) -> str:
    """Return the name of a metric; of one that is a plain mean by its remarks "L3 Weighted … (mean of 30 features)"."""
    _, is_mean, features = (remarks or "").partition(f"{metric}{_IS_PLAIN_MEAN}")
    return f"{metric} (mean of {features.partition(', because')[0]})" if is_mean else metric


def unlikely_probabilities(n_outside: int, n_other_sum: int, where: SideName) -> list[str]:
    """Return the remarks on rows whose probabilities can't be probabilities."""
    remarks = []
    if n_outside:
        remarks.append(f"{n_outside:,} rows of the {where} have probabilities below 0 or above 1 (percent?)")
    if n_other_sum:
        remarks.append(f"{n_other_sum:,} rows of the {where} have probabilities that do not add up to 1")
    return remarks


def undefined(metric: str, reason: str) -> str:
    """Say that the rows do not determine a metric."""
    return f"The rows do not determine {metric}: {reason}"


def one_class(name: str | None, metrics: Iterable[str]) -> str:
    """Say that all labels are of one class, and that scorers need other classes too."""
    label = "of one class" if name is None else f"{name!r}"
    return (
        f"All labels of the window are {label}, and {first_names(metrics)} needs rows of other classes too."
        " Widen the monitor's window, or choose other scorers."
    )


def one_value(metrics: Iterable[str]) -> str:
    """Say that all labels of a regression are the same."""
    return (
        f"All labels of the window are the same, so {first_names(metrics)} is not defined. Widen the monitor's window."
    )


def infinite(metrics: Iterable[str]) -> str:
    """Say that a metric is infinite, because values are too large to be squared."""
    return (
        f"{first_names(metrics)} is infinite: values of the window are too large for it."
        " Look for extreme predictions or labels, or exclude them with a filter of the monitor."
    )


def no_classes(name: str) -> str:
    """Say that a check of classes can't check a regression."""
    return f'{name} needs classes, and a regression has no classes. "dcmon check list" shows other checks.'


def unknown_classes(unknown: Sequence[str], classes: Sequence[str]) -> str:
    """Say that labels are not among the version's two classes."""
    return (
        f"There are labels {first_names(unknown)}, but the version's two classes are {first_names(classes)}."
        " Correct these labels, or exclude them with a filter of the monitor."
    )


def classes_not_named(reason: str) -> str:
    """Add to a reason that the version does not name its classes."""
    return f"{reason} The version names no classes, so only those of the window are known: create one that names all."


def check_failed(name: str, reason: str) -> str:
    """Say that a check raised an exception."""
    return f'{name} failed: {reason} "dcmon check show {name}" shows its parameters.'


def not_drawn(name: str, reason: str) -> str:
    """Say that deepchecks can't draw a check, which may have a value all the same."""
    return f"deepchecks can't draw {name} on these rows: {reason} Its value may be computed all the same (run/window)."


def first_names(names: Iterable[object]) -> str:
    """Return the first names as a text, with the number of the other names."""
    listed = [str(name) for name in names]
    more = len(listed) - MAX_NAMES
    return ", ".join(listed[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def error_sentence(error: BaseException, library: type[BaseException]) -> str:
    """Return the message of an error as a sentence.

    The sentence begins with the error's type unless the error is one of `library`.
    """
    sentence = error_line(error) if isinstance(error, library) else f"{type(error).__name__}: {error_line(error)}"
    return sentence if sentence.endswith((".", "!", "?")) else sentence + "."


def error_line(error: BaseException) -> str:
    """Return the message of an error on one line."""
    return " ".join(str(error).split())[:MAX_LENGTH] or type(error).__name__
