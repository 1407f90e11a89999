"""The task of a model and its classes, by predictions and labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dcmon.ingestion.files.proposal.choices import Question
from dcmon.ingestion.files.proposal.profile import ColumnProfile
from dcmon.ingestion.files.proposal.types import TypeGuess
from dcmon.states import TaskType
from dcmon.storage import categories

_NAMED = {categories.FALSE: "0", categories.TRUE: "1"}
_NUMBERED = {"0": categories.FALSE, "1": categories.TRUE}
MAX_CLASSES = 100
MAX_NUMBERED_CLASSES = 30  # of whole numbers as classes


@dataclass(frozen=True)
class Output:
    """The columns of a model's output and of labels, with their types; None where the file has none."""

    prediction: ColumnProfile | None
    label: ColumnProfile | None
    types: Mapping[str, TypeGuess]
    probabilities: int | None = None

    @property
    def columns(self) -> list[ColumnProfile]:
        """Return the columns of classes or numbers that the file has."""
        return [profile for profile in (self.prediction, self.label) if profile is not None]

    def has_type(self, *types: str) -> bool:
        """Return True if each column has one of the types."""
        return all(self.types[profile.name].type in types for profile in self.columns)


@dataclass(frozen=True)
class TaskGuess:
    """The task, the sorted classes and the reason; a question if the task is not certain."""

    task: str | None
    classes: tuple[str, ...] = ()
    reason: str = ""
    question: Question | None = None


def guess(output: Output) -> TaskGuess:
    """Guess the task. Without predictions nothing is guessed."""
    if output.prediction is None:
        return TaskGuess(None)
    classes = classes_of(output)
    if output.has_type("boolean", "categorical", "text") or _is_binary(output, classes):
        return _of_classes(output, classes)
    if not output.has_type("numeric", "integer", "bigint", "boolean"):
        return _unknown("The predictions and the labels are not of one kind: numbers here, texts there.")
    if output.probabilities is not None and output.probabilities == len(classes):
        return TaskGuess(_task_of(classes), classes, f"{len(classes)} probabilities, and so many whole numbers")
    if _has_shares_of_classes(output):
        return _unknown(
            "The predictions are numbers from 0 to 1, and the labels are 0 and 1. Are they probabilities? Then add a"
            " column with the predicted class to the file, and name this one with --probabilities."
        )
    if output.has_type("numeric") or not output.has_type("integer", "boolean"):
        return TaskGuess(TaskType.REGRESSION, (), "predictions and labels are numbers, not classes")
    if len(classes) > MAX_NUMBERED_CLASSES:
        return TaskGuess(TaskType.REGRESSION, (), f"{len(classes):,} different whole numbers")
    return _numbered(classes)


def classes_of(output: Output) -> tuple[str, ...]:
    """Return the different values of predictions and labels, as classes, sorted."""
    spelled = {_class(value) for profile in output.columns for value in profile.counts}
    if spelled <= {*_NUMBERED, *_NAMED} and spelled & _NUMBERED.keys() and spelled & _NAMED.keys():
        spelled = {_NAMED.get(name, name) for name in spelled}  # 0 and 1 in one column, booleans in the other
    if output.prediction is not None and output.types[output.prediction.name].type in ("categorical", "text"):
        spelled |= {word for word in output.prediction.words if word.strip()}
    return tuple(sorted(spelled))


def _class(value: Any) -> str:
    return str(categories.spelling(value))


def _is_binary(output: Output, classes: tuple[str, ...]) -> bool:
    return output.has_type("integer", "boolean", "numeric", "categorical") and set(classes) <= {"0", "1"}


def _has_shares_of_classes(output: Output) -> bool:
    """Return True if predictions are shares where labels are 0 and 1: the probabilities of a classifier."""
    if output.prediction is None or output.label is None:
        return False
    guessed = output.types[output.prediction.name]
    labels = {_class(value) for value in output.label.counts}
    return guessed.type == "numeric" and guessed.is_share and labels <= {"0", "1"}


def _of_classes(output: Output, classes: tuple[str, ...]) -> TaskGuess:
    if set(classes) <= {"0", "1"} and len(classes) == 1:
        return TaskGuess(
            TaskType.BINARY, ("0", "1"), f"only the class {classes[0]}, so the other is {1 - int(classes[0])}"
        )
    if len(classes) == 1:
        return _too_few(classes)
    if len(classes) > MAX_CLASSES:
        return _unknown(
            f"The predictions have {len(classes):,} different texts. Are they classes? Then give --task multiclass, and"
            " each --class."
        )
    spelling = " and ".join(_shown(classes))
    where = "predictions and labels" if len(output.columns) > 1 else "predictions"
    return TaskGuess(_task_of(classes), classes, f"{len(classes)} classes in {where}: {spelling}")


def _shown(classes: tuple[str, ...]) -> list[str]:
    return list(classes) if len(classes) <= 4 else [", ".join(classes[:4]), f"{len(classes) - 4} more"]


def _too_few(classes: tuple[str, ...]) -> TaskGuess:
    sentence = f"The file has only the class {classes[0]}. Name all classes: --class {classes[0]} --class …"
    return TaskGuess(None, question=Question(sentence, "class"))


def _unknown(sentence: str) -> TaskGuess:
    tasks = [str(task) for task in TaskType]
    return TaskGuess(
        None, question=Question(f"{sentence} --task {', '.join(tasks[:-1])} or {tasks[-1]}", "task", tasks)
    )


def _numbered(classes: tuple[str, ...]) -> TaskGuess:
    values = sorted(map(int, classes))
    if len(values) > 2 and values == list(range(values[0], values[0] + len(values))) and values[0] in (0, 1):
        return TaskGuess(
            TaskType.MULTICLASS,
            classes,
            f"whole numbers from {values[0]} to {values[-1]}; --task regression if they are amounts",
        )
    return _unknown(
        f"The predictions are {len(classes)} different whole numbers ({', '.join(map(str, values[:6]))}"
        f"{' …' if len(values) > 6 else ''}): classes or amounts?"
    )


def _task_of(classes: tuple[str, ...]) -> str:
    return TaskType.BINARY if len(classes) == 2 else TaskType.MULTICLASS
