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
    """No row fits the filters."""
    which = "labelled row" if labelled else "row"
    return f'No {which} of the {where} fits the monitor\'s filters. "dcmon monitor show" shows them: are they meant so?'


def no_label(where: str) -> str:
    """No row has a label."""
    if where == "reference":
        return "No row of the reference has a label. Load one with labels (_dc_label)."
    return f"No row of the {where} has a label. {COMES_BY_ITSELF}"


def no_prediction(where: str) -> str:
    """No row has a prediction."""
    return f"No row of the {where} has a prediction. Log samples with _dc_prediction."


def no_probabilities() -> str:
    """Scorers on probabilities, of which there are none."""
    return (
        "It needs probabilities, and no row has them. Name the version's classes and log _dc_prediction_probabilities,"
        " or choose scorers of classes, such as accuracy."
    )


def unknown_features(unknown: Sequence[str], known: Iterable[str]) -> str:
    """Features that are chosen and not there."""
    return f"There is no feature {first_names(unknown)} in this version. It has {first_names(known)}."


def unread_types(types: Iterable[str]) -> str:
    """Features of which none is of a type that the check reads."""
    return f"None of the features is of a type it reads: {', '.join(sorted(types))}. Choose others with --feature."


def all_null(features: Sequence[str]) -> str:
    """Columns without a single value."""
    return f"All values of {first_names(features)} are null in the window. See whether the service still sends them."


def too_few(sides: Sequence[tuple[str, int]], least: int) -> str:
    """Too few rows on a side for what the check calls enough."""
    there = " and ".join(f"{n:,} in the {where}" for where, n in sides)
    return (
        f"Too few rows: {there}, and at least {least:,} with a value are needed on each side. Widen the monitor's"
        " window, or lower the check's min_samples."
    )


def one_class(name: str | None, metrics: Iterable[str]) -> str:
    """All labels are of one class, which some scorers can do nothing with."""
    which = "of one class" if name is None else f"{name!r}"
    return (
        f"All labels of the window are {which}, and {first_names(metrics)} needs rows of others too."
        " Widen the monitor's window, or choose other scorers."
    )


def one_value(metrics: Iterable[str]) -> str:
    """All labels of a regression are the same."""
    return (
        f"All labels of the window are the same, so {first_names(metrics)} is not defined. Widen the monitor's window."
    )


def infinite(metrics: Iterable[str]) -> str:
    """A metric that is larger than any number, as errors of values that are too large to be squared are."""
    return (
        f"{first_names(metrics)} is infinite: values of the window are too large for it."
        " Look for extreme predictions or labels, or exclude them with a filter of the monitor."
    )


def no_classes(name: str) -> str:
    """A check of classes on a regression."""
    return f'{name} is about classes, and a regression has none. "dcmon check list" shows other checks.'


def unknown_classes(unknown: Sequence[str], classes: Sequence[str]) -> str:
    """Labels that the version does not name, of a model that has two classes."""
    return (
        f"Labels say {first_names(unknown)}, and the version's two classes are {first_names(classes)}."
        " Correct these labels, or exclude them with a filter of the monitor."
    )


def classes_not_named(why: str) -> str:
    """What the library can't tell from the classes that are seen in a window."""
    return f"{why} The version names no classes, so that only those seen are known: create one that names them."


def not_suited(name: str, why: str) -> str:
    """A check that raised."""
    return f'{name} failed: {why} "dcmon check show {name}" shows what it takes.'


def first_names(names: Iterable[object]) -> str:
    """The first names of many."""
    listed = [str(name) for name in names]
    more = len(listed) - SHOWN_AT_MOST
    return ", ".join(listed[:SHOWN_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def error_sentence(error: BaseException, library: type[BaseException]) -> str:
    """What an error says, as a sentence; of one that is not the library's own, its type too."""
    words = error_line(error) if isinstance(error, library) else f"{type(error).__name__}: {error_line(error)}"
    return words if words.endswith((".", "!", "?")) else words + "."


def error_line(error: BaseException) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split())[:LONGEST] or type(error).__name__
