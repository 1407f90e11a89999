"""Do the same to several objects: each on its own, also if others fail."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from dcmon.errors import DcmonError, PartlyDone
from dcmon.output import Output

T = TypeVar("T")
Row = Mapping[str, Any]


def run_for_all(output: Output, objects: Sequence[T], action: Callable[[T], Row]) -> None:
    """Run the action on each object and show the rows that it returns: of one object as an object, else as a list.

    Raises the error of the only object, the error of all if they have the same, or PartlyDone with the reasons.
    """
    chosen = list(dict.fromkeys(objects))
    if len(chosen) == 1:
        return output.value(action(chosen[0]))
    rows, failures = list[Row](), list[DcmonError]()
    for name in chosen:
        try:
            rows.append(action(name))
        except DcmonError as error:
            failures.append(error)
    if rows or not failures:
        output.table(rows, list(rows[0]) if rows else [])
    if failures:
        raise _joined(failures, len(chosen))
    return None


def _joined(failures: Sequence[DcmonError], number: int) -> DcmonError:
    reasons = " ".join(dict.fromkeys(map(str, failures)))
    if len(failures) == number and len({type(failure) for failure in failures}) == 1:
        return type(failures[0])(reasons)
    return PartlyDone(done=number - len(failures), number=number, reasons=reasons)
