"""Do the same to several objects: find all, then do each on its own, also if others fail.

All are looked up before the first is changed, so that a mistyped name, or a name with a space that was typed without
quotes, changes nothing.
"""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

from dcmon.commands.shared.confirmation import confirm, confirm_names
from dcmon.commands.shared.dry_run_output import DryRunOutput, would
from dcmon.data_formats import Row
from dcmon.errors import DcmonError, PartlyDone
from dcmon.formatting import listed
from dcmon.output import Fields, Lines, Output, Page, Part, Table

HINT = re.compile(r' "dcmon [^"]+" [^"]+\Z')  # the sentence that ends a message: "dcmon model list" lists the models.
MOST_NAMED = 3  # objects that the sentence of a dry run names; of more, the rows say what each has
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Deletion:
    """An object that was looked up, to be deleted.

    `key` is the same for two names of one object. `row` says what is deleted. `what` names it with what is lost, like
    "rule 'a' with 3 alerts"; `asks` is False if nothing can be lost. `typed_name` is what an operator types to confirm
    the loss of what can't be restored; None: yes or no.
    """

    key: Hashable
    row: Row
    what: str
    delete: Callable[[], object]
    asks: bool = True
    typed_name: str | None = None


@dataclass(frozen=True)
class Shown:
    """What is shown beside the rows of a change. `remark`: of a row, if it has one; `none`: texts for None."""

    remark: Callable[[Row], str | None] = lambda _: None
    none: Mapping[str, str] | None = None

    def page(self, rows: Sequence[Row], *, is_one: bool) -> Page:
        """Return one row as an object, several as a list, with their remarks."""
        remarks = [remark for row in rows if (remark := self.remark(row)) is not None]
        if is_one:
            return Page(rows[0], [Fields(rows[0], self.none)], remarks)
        shown = [{key: (self.none or {}).get(key) if row[key] is None else row[key] for key in row} for row in rows]
        return Page(rows, [Table(shown, list(dict.fromkeys(chain(*rows))))], list(dict.fromkeys(remarks)))


def find_all(names: Sequence[T], find: Callable[[T], K], otherwise: str = "Nothing was changed.") -> list[K]:
    """Look up all objects; two names of the same object are one.

    `otherwise` ends the message if one of several does not exist. Raises the error of the only object, or one with
    the reasons of all that fail.
    """
    chosen = list(dict.fromkeys(names))
    results, failures = list[K](), list[DcmonError]()
    for name in chosen:
        try:
            results.append(find(name))
        except DcmonError as error:
            failures.append(error)
    if failures and len(chosen) > 1:
        raise type(failures[0])(f"{_reasons(failures)} {otherwise}")
    if failures:
        raise failures[0]
    return list(dict.fromkeys(results))


def run_for_all(
    output: Output,
    names: Sequence[T],
    find: Callable[[T], K],
    action: Callable[[K], Row],
    *,
    ask: Callable[[], None] | None = None,
    shown: Shown = Shown(),
) -> None:
    """Look up all objects, ask if there is something to ask, then run the action on each and show the rows of it.

    Raises what `find_all` and `ask` raise; the error of the only object, the error of all if they have the same, or
    PartlyDone with the reasons.
    """
    keys = find_all(names, find)
    if ask is not None:
        ask()
    _run(output, keys, action, shown)


def _run(output: Output, keys: Sequence[K], action: Callable[[K], Row], shown: Shown = Shown()) -> None:
    """Run the action on each object and show the rows: of one object as an object, else as a list."""
    if len(keys) == 1:
        return output.page(shown.page([action(keys[0])], is_one=True))
    rows, failures = list[Row](), list[DcmonError]()
    for key in keys:
        try:
            rows.append(action(key))
        except DcmonError as error:
            failures.append(error)
    if rows or not failures:
        output.page(shown.page(rows, is_one=False))
    if failures:
        raise _joined(failures, len(keys), output)
    return None


def delete_all(output: Output, names: Sequence[T], find: Callable[[T], Deletion], *, yes: bool) -> None:
    """Ask, delete all objects, and show a row of each; a dry run only shows the rows.

    Raises InvalidInput without a confirmation, and what `find_all` and `run_for_all` raise.
    """
    by_key = dict[Hashable, Deletion]()

    def find_key(name: T) -> Hashable:
        deletion = find(name)
        return by_key.setdefault(deletion.key, deletion).key

    keys, is_dry_run = find_all(names, find_key), isinstance(output, DryRunOutput)
    asking = [deletion for deletion in by_key.values() if deletion.asks and not is_dry_run]
    typed = [(f"This deletes {deletion.what}.", deletion.typed_name) for deletion in asking]
    confirm_names([(loss, name) for loss, name in typed if name is not None], yes)
    if losses := [deletion.what for deletion in asking if deletion.typed_name is None]:
        confirm(f"Delete {listed(losses)}?", yes)
    whats = [deletion.what for deletion in by_key.values()]
    would(output, f"delete {listed(whats) if len(whats) <= MOST_NAMED else f'the {len(whats):,} that are listed'}")

    def delete(key: Hashable) -> Row:
        if not is_dry_run:
            by_key[key].delete()
        return by_key[key].row

    _run(output, keys, delete)


def show_all(output: Output, names: Sequence[T], detail: Callable[[T], Page | Row]) -> None:
    """Show objects: one as an object; several as a list of objects, for people one below the other.

    Raises what `find_all` raises: all are read before the first is shown.
    """
    pages = list[Page]()

    def read(name: T) -> int:
        shown = detail(name)
        pages.append(shown if isinstance(shown, Page) else Page(shown, [Fields(shown)]))
        return len(pages)

    find_all(names, read, "Nothing is shown.")
    if len(pages) == 1:
        return output.page(pages[0])
    parts = list[Part]()
    for page in pages:
        parts += [*([Lines([""])] if parts else []), *page.parts]
    rows = [row for page in pages for row in ([page.data] if isinstance(page.data, Mapping) else page.data)]
    return output.page(Page(rows, parts, [remark for page in pages for remark in page.remarks]))


def _reasons(failures: Sequence[DcmonError]) -> str:
    """Return all messages; which command lists the objects is said once, at the end of the last of them."""
    messages = list(dict.fromkeys(map(str, failures)))
    hints = [match[0] if (match := HINT.search(message)) else "" for message in messages]
    return " ".join(
        message.removesuffix(hint) if hint in hints[number:] else message
        for number, (message, hint) in enumerate(zip(messages, hints, strict=True), 1)
    )


def _joined(failures: Sequence[DcmonError], number: int, output: Output) -> DcmonError:
    if len(failures) == number and len({type(failure) for failure in failures}) == 1:
        return type(failures[0])(_reasons(failures))
    verb = "would be done" if isinstance(output, DryRunOutput) else "done"
    return PartlyDone(done=number - len(failures), number=number, verb=verb, reasons=_reasons(failures))
