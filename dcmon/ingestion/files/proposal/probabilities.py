"""Probabilities in a file: how many there are, and whether they are those of the predicted classes."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from dcmon.ingestion.files.column_mapping import EveryColumn
from dcmon.ingestion.files.proposal.fields import FieldGuesses
from dcmon.ingestion.files.proposal.profile import ColumnProfile
from dcmon.ingestion.files.proposal.tasks import TaskGuess
from dcmon.ingestion.files.reader import File
from dcmon.ingestion.values import lists, numbers
from dcmon.ingestion.values.refusal import ValueRefused
from dcmon.ingestion.values.rules import FILE_RULES, ValueRules
from dcmon.states import TaskType
from dcmon.storage import categories
from dcmon.storage.columns import PREDICTION, PROBABILITIES

ROWS = 10_000  # in which predictions and probabilities are compared


class _Pair(NamedTuple):
    """The predicted class of a row and its probabilities."""

    prediction: str
    probabilities: list[float]


def size(column: ColumnProfile) -> int | None:
    """Return the length that all lists of a column have. None if they differ or are numbers."""
    sizes = {len(values) if (values := _list(value, FILE_RULES)) is not None else None for value in column.counts}
    return sizes.pop() if len(sizes) == 1 else None


def check(file: File, guesses: FieldGuesses, task: TaskGuess, rules: ValueRules) -> None:
    """Keep the column of probabilities only if it has those of the classes, in their order."""
    name = guesses.columns[PROBABILITIES]
    if guesses.reasons[PROBABILITIES].startswith("--") or PREDICTION not in guesses.columns:
        return
    reason = _reason_against(file, guesses, task, rules)
    if reason:
        del guesses.columns[PROBABILITIES], guesses.reasons[PROBABILITIES]
        guesses.reasons_against[name] = reason


def _reason_against(file: File, guesses: FieldGuesses, task: TaskGuess, rules: ValueRules) -> str:
    if task.task == TaskType.REGRESSION or not task.classes:
        return "no feature by its name"
    pairs = list(_pairs(file, guesses, rules))
    sizes = {len(pair.probabilities) for pair in pairs}
    if sizes == {1} and len(task.classes) == 2:
        return _reason_against_single(pairs, task.classes)
    if sizes != {len(task.classes)}:
        return f"not {len(task.classes)} probabilities, one for each class"
    known = categories.class_names(task.classes)
    agreeing = sum(
        task.classes[pair.probabilities.index(max(pair.probabilities))] == known.get(pair.prediction) for pair in pairs
    )
    return "" if agreeing * 2 > len(pairs) else "the largest probability is seldom that of the prediction"


def _reason_against_single(pairs: list[_Pair], classes: Sequence[str]) -> str:
    """Return why single numbers are not the probability of the second class: it rises with the prediction."""
    known, second = categories.class_names(classes), classes[1]
    of_second = [pair.probabilities[0] for pair in pairs if known.get(pair.prediction) == second]
    of_first = [pair.probabilities[0] for pair in pairs if known.get(pair.prediction) != second]
    if of_first and of_second and min(of_second) < max(of_first):
        return f"not the probability of class {second}: it does not rise with the prediction"
    return ""


def _pairs(file: File, guesses: FieldGuesses, rules: ValueRules) -> Iterator[_Pair]:
    for row in islice(file.rows(EveryColumn(rules)), ROWS):
        if not isinstance(row, dict):
            continue
        prediction, value = row.get(guesses.columns[PREDICTION]), row.get(guesses.columns[PROBABILITIES])
        if prediction is None or value is None:
            continue
        values = _list(value, rules)
        if values is None and (single := number_of(value, rules)) is not None:
            values = [single]
        if values:
            yield _Pair(str(categories.spelling(prediction)), values)


def _list(value: Any, rules: ValueRules) -> list[float] | None:
    try:
        return lists.list_of_numbers(value, rules)
    except ValueRefused:
        return None


def number_of(value: Any, rules: ValueRules) -> float | None:
    """Return a number of a file. None if it is missing or none."""
    try:
        number = numbers.number(value, rules)
    except ValueRefused:
        return None
    return None if number is None else float(number)
