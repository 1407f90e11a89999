"""Do the same to several objects: each on its own, also if others fail."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dcmon.commands.shared.confirmation import confirm, outcome
from dcmon.errors import DcmonError, PartlyDone
from dcmon.formatting import listed
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


@dataclass(frozen=True)
class Deletion:
    """An object that was found, to be deleted.

    `key` is the same for two names of one object. `row` says what is deleted. `loss` is what the question names, or
    None if nothing can be lost.
    """

    key: Hashable
    row: Row
    loss: str | None
    delete: Callable[[], object]


def delete_all(output: Output, deletions: Iterable[Deletion], *, dry_run: bool, yes: bool) -> None:
    """Ask once, delete all objects, and show a row of each; with `dry_run` only show the rows.

    All are found before the first is deleted, so that a mistyped name deletes nothing. Raises InvalidInput without a
    confirmation, and what `run_for_all` raises.
    """
    by_key = {deletion.key: deletion for deletion in deletions}
    losses = [deletion.loss for deletion in by_key.values() if deletion.loss is not None]
    if losses and not dry_run:
        confirm(f"Delete {listed(losses)}?", yes)

    def delete(key: Hashable) -> Row:
        if not dry_run:
            by_key[key].delete()
        return outcome(by_key[key].row, dry_run=dry_run)

    run_for_all(output, list(by_key), delete)


def _joined(failures: Sequence[DcmonError], number: int) -> DcmonError:
    reasons = " ".join(dict.fromkeys(map(str, failures)))
    if len(failures) == number and len({type(failure) for failure in failures}) == 1:
        return type(failures[0])(reasons)
    return PartlyDone(done=number - len(failures), number=number, reasons=reasons)
