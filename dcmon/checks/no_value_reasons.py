"""Reasons why a check has no value, each with the next step. Cheap to import, for the module that reads rows."""

from collections.abc import Iterable, Sequence

from dcmon.states import ResultState

SHOWN_AT_MOST = 10
LONGEST = 500

NO_ROWS = 'The window has no rows. "dcmon status" and "dcmon ingest lag" say whether samples still arrive.'
NO_REFERENCE = (
    'The version has no reference to compare with. Load one with "dcmon reference load", or have the monitor compare'
    " with the window before (--compare previous)."
)
BALANCED = "weighed both classes alike, for one of them is rare in the reference (balance_classes)"
COMES_BY_ITSELF = "It is evaluated again when there are some."


class NoValue(Exception):
    """A check has no value; `state` and the text become its result."""

    def __init__(self, state: ResultState, reason: str) -> None:
        super().__init__(reason)
        self.state = state


def no_row_fits(where: str, *, labelled: bool = False) -> str:
    """Say that no row fits the filters."""
    which = "labelled row" if labelled else "row"
    return f'No {which} of the {where} fits the monitor\'s filters. "dcmon monitor show" shows the filters.'


def no_label(where: str) -> str:
    """Say that no row has a label."""
    if where == "reference":
        return "No row of the reference has a label. Load one with labels (_dc_label)."
    return f"No row of the {where} has a label. {COMES_BY_ITSELF}"


def no_prediction(where: str) -> str:
    """Say that no row has a prediction."""
    return f"No row of the {where} has a prediction. Log samples with _dc_prediction."


def no_probabilities() -> str:
    """Say that scorers need probabilities, and no row has them."""
    return (
        "It needs probabilities, and no row has them. Name the version's classes and log _dc_prediction_probabilities,"
        " or choose scorers of classes, such as accuracy."
    )


def unknown_features(unknown: Sequence[str], known: Iterable[str]) -> str:
    """Say that chosen features do not exist."""
    return f"There is no feature {first_names(unknown)} in this version. It has {first_names(known)}."


def unread_types(types: Iterable[str]) -> str:
    """Say that no feature has a type that the check reads."""
    return f"None of the features is of a type it reads: {', '.join(sorted(types))}. Choose others with --feature."


def all_null(features: Sequence[str]) -> str:
    """Say that columns have no values."""
    return f"All values of {first_names(features)} are null in the window. See whether the service still sends them."


def too_few(sides: Sequence[tuple[str, int]], least: int) -> str:
    """Say that a side has fewer rows than the check needs."""
    counts = " and ".join(f"{n:,} in the {where}" for where, n in sides)
    return (
        f"Too few rows: {counts}, and at least {least:,} with a value are needed on each side. Widen the monitor's"
        " window, or lower the check's min_samples."
    )


def one_class(name: str | None, metrics: Iterable[str]) -> str:
    """Say that all labels are of one class, and that scorers need others too."""
    which = "of one class" if name is None else f"{name!r}"
    return (
        f"All labels of the window are {which}, and {first_names(metrics)} needs rows of others too."
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
    return f'{name} is about classes, and a regression has none. "dcmon check list" shows other checks.'


def unknown_classes(unknown: Sequence[str], classes: Sequence[str]) -> str:
    """Say that labels are not among the version's two classes."""
    return (
        f"Labels say {first_names(unknown)}, and the version's two classes are {first_names(classes)}."
        " Correct these labels, or exclude them with a filter of the monitor."
    )


def classes_not_named(why: str) -> str:
    """Say that the version names no classes, so that only the classes of the window are known."""
    return f"{why} The version names no classes, so that only those seen are known: create one that names them."


def not_suited(name: str, why: str) -> str:
    """Say that a check raised an exception."""
    return f'{name} failed: {why} "dcmon check show {name}" shows what it takes.'


def first_names(names: Iterable[object]) -> str:
    """Return the first names, and the number of the others."""
    listed = [str(name) for name in names]
    more = len(listed) - SHOWN_AT_MOST
    return ", ".join(listed[:SHOWN_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def error_sentence(error: BaseException, library: type[BaseException]) -> str:
    """Return the message of an error as a sentence; with its type if it is not an error of the library."""
    sentence = error_line(error) if isinstance(error, library) else f"{type(error).__name__}: {error_line(error)}"
    return sentence if sentence.endswith((".", "!", "?")) else sentence + "."


def error_line(error: BaseException) -> str:
    """Return the message of an error on one line."""
    return " ".join(str(error).split())[:LONGEST] or type(error).__name__
