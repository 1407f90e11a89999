"""Probabilities in a file that has a column for each class: proba_0 and proba_1, or p_yes and p_no."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from dcmon.ingestion.files import column_names
from dcmon.ingestion.files.column_mapping import EveryColumn
from dcmon.ingestion.files.proposal import probabilities
from dcmon.ingestion.files.proposal.fields import FieldGuesses
from dcmon.ingestion.files.proposal.tasks import TaskGuess
from dcmon.ingestion.files.proposal.value_rules import FileRules
from dcmon.ingestion.files.reader import File
from dcmon.states import TaskType
from dcmon.storage import categories
from dcmon.storage.columns import PREDICTION, PROBABILITIES, probability_field

_WORD = "(?:prediction_|predicted_|pred_|y_|class_)?(?:probas?|probs?|probability|probabilities|score|p)(?:_class)?"
_NAME = re.compile(rf"{_WORD}_(?P<after>.+)|(?P<before>.+)_{_WORD}")
_TOLERANCE = 0.02  # of the sum of a row's probabilities


def guess(file: File, guesses: FieldGuesses, task: TaskGuess, shares: Sequence[str], rules: FileRules) -> None:
    """Give each class a column of `shares`, if names and values show that these are its probabilities."""
    is_needed = PROBABILITIES not in guesses.columns and PREDICTION in guesses.columns
    if not is_needed or len(task.classes) < 2 or task.task == TaskType.REGRESSION:
        return
    for columns, reason in _by_names(shares, task.classes):
        if _agree(file, guesses.columns[PREDICTION], columns, task.classes, rules):
            for name, column in zip(task.classes, columns, strict=True):
                guesses.choose(probability_field(name), column, reason)
            return


def _by_names(shares: Sequence[str], classes: Sequence[str]) -> Iterable[tuple[Sequence[str], str]]:
    """Yield the columns, in the order of the classes, that may have their probabilities; and why."""
    names = [column_names.plain(name) or name for name in classes]
    numbers = {str(number): str(number) for number in range(len(classes) + 1)}
    by_class, by_number, alone = (
        _unique((_part(name), name) for name in shares),
        _unique((numbers.get(_part(name), ""), name) for name in shares),
        _unique((column_names.plain(name), name) for name in shares),
    )
    for wanted, columns, reason in (
        (names, by_class, "its name, and shares that agree with the predictions"),
        (names, alone, "the name of a class, and shares that agree with the predictions"),
        ([str(number) for number in range(len(classes))], by_number, "its number, in the order of the classes"),
        ([str(number) for number in range(1, len(classes) + 1)], by_number, "its number, in the order of the classes"),
    ):
        if len(set(wanted)) == len(wanted) and all(part in columns for part in wanted):
            yield [columns[part] for part in wanted], reason


def _part(name: str) -> str:
    """Return what is beside the word for a probability: setosa of proba_setosa. "" without such a word."""
    match = _NAME.fullmatch(column_names.plain(name))
    return (match["after"] or match["before"]) if match else ""


def _unique(parts: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    columns: dict[str, list[str]] = {}
    for part, name in parts:
        columns.setdefault(part, []).append(name)
    return {part: names[0] for part, names in columns.items() if part and len(names) == 1}


def _agree(file: File, prediction: str, columns: Sequence[str], classes: Sequence[str], rules: FileRules) -> bool:
    """Return True if each row adds up to 1, and the largest share of most rows is that of the prediction.

    This holds for the rows of each predicted class: two rare classes may have changed places.
    """
    known = categories.class_names(classes)
    rows, agreeing = Counter[str](), Counter[str]()
    for row in islice(file.rows(EveryColumn(rules.default)), probabilities.ROWS):
        if not isinstance(row, dict) or (predicted := row.get(prediction)) is None:
            continue
        values = [probabilities.number_of(row.get(name), rules.of(name)) for name in columns]
        shares = [value for value in values if value is not None]
        if not shares:
            continue
        if len(shares) < len(values) or abs(sum(shares) - 1) > _TOLERANCE:
            return False
        name = known.get(str(categories.spelling(predicted)), "")
        rows[name] += 1
        agreeing[name] += classes[shares.index(max(shares))] == name
    return bool(rows) and all(agreeing[name] * 2 > count for name, count in rows.items())
