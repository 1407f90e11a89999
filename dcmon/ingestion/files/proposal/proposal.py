"""A model that a file suggests: the task, the classes, and what becomes of each column."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from dcmon.ingestion.files import column_mapping, column_names, reader
from dcmon.ingestion.files.dialect import Dialect
from dcmon.ingestion.files.proposal import class_columns, fields, probabilities, profile, tasks, types, value_rules
from dcmon.ingestion.files.proposal.choices import Choices, Question
from dcmon.ingestion.files.proposal.fields import FieldGuesses
from dcmon.ingestion.files.proposal.profile import ColumnProfile, FileProfile
from dcmon.ingestion.files.proposal.tasks import Output, TaskGuess
from dcmon.ingestion.files.proposal.types import Doubt, TypeGuess
from dcmon.ingestion.files.proposal.value_rules import FileRules
from dcmon.ingestion.files.reader import File
from dcmon.states import TaskType
from dcmon.storage.columns import LABEL, PREDICTION, PROBABILITIES, RESERVED, SAMPLE_ID
from dcmon.storage.versions import NewVersion


class Use(StrEnum):
    """What becomes of a column of a file."""

    FIELD = "field"
    FEATURE = "feature"
    ADDITIONAL = "additional"
    IGNORED = "ignored"


@dataclass(frozen=True)
class ProposedColumn:
    """A column of a file: its use, the field or the type, and the reason."""

    name: str
    use: Use
    target: str
    reason: str


@dataclass(frozen=True)
class Proposal:
    """A model that a file suggests. It can be created if there are no questions.

    `rows`: how many rows were read. `is_complete` is False if the file has more.
    """

    path: str
    rows: int
    is_complete: bool
    task: str | None
    task_reason: str
    classes: Sequence[str] | None
    columns: Sequence[ProposedColumn]
    questions: Sequence[Question]

    def by_type(self, use: Use) -> dict[str, str]:
        """Return the types of features or additional columns, by name."""
        return {column.name: column.target for column in self.columns if column.use is use}

    @property
    def fields(self) -> dict[str, str]:
        """Return the column of each field."""
        return {column.target: column.name for column in self.columns if column.use is Use.FIELD}

    @property
    def file_columns(self) -> dict[str, str]:
        """Return what files call the fields, as a version keeps it."""
        named = {column: name for name, column in self.fields.items() if column != name}
        return named | {column.name: "" for column in self.columns if column.use is Use.IGNORED}

    def version(self, name: str) -> NewVersion:
        """Return the version to create."""
        return NewVersion(
            name, self.by_type(Use.FEATURE), self.by_type(Use.ADDITIONAL), classes=self.classes,
            file_columns=self.file_columns or None,
        )  # fmt: skip


def of_path(path: str, format: str | None, written: Dialect, choices: Choices) -> Proposal:
    """Open a file and propose a model. Raises InvalidInput, NotFound or FileRefused."""
    with reader.open_file(path, format, dialect=written) as file:
        return of_file(file, choices)


def of_file(file: File, choices: Choices) -> Proposal:
    """Read a file and propose a model. Raises InvalidInput if it can't be read, or an option names no column of it."""
    content = profile.of_file(file, choices.fields.values())
    rules = value_rules.prove(content, file.dialect)
    guessed = {name: types.guess(column, rules.of(name)) for name, column in content.columns.items()}
    guesses = fields.guess(content, guessed, choices)
    task = _task(content, guessed, guesses, choices)
    if PROBABILITIES in guesses.columns:
        probabilities.check(file, guesses, task, rules.of(guesses.columns[PROBABILITIES]))
    shares = [name for name, type_ in guessed.items() if type_.is_share and _is_free(name, guesses, choices)]
    if PROBABILITIES not in choices.fields:
        class_columns.guess(file, guesses, task, shares, rules)
    used = [_column(content.columns[name], guessed[name], guesses, choices) for name in content.columns]
    if guesses.columns.get(SAMPLE_ID) == column_mapping.ROW_NUMBER:
        reason = "the number of the row in its file, with a digest of the file"
        used.insert(0, ProposedColumn(column_mapping.ROW_NUMBER, Use.FIELD, SAMPLE_ID, reason))
    questions = [*guesses.questions, *([task.question] if task.question else [])]
    return Proposal(
        content.path, content.rows, content.is_complete, task.task, task.reason, list(task.classes) or None, used,
        [*questions, *_type_questions(used, guessed, choices, rules)],
    )  # fmt: skip


def _is_free(name: str, guesses: FieldGuesses, choices: Choices) -> bool:
    given = choices.features.keys() | choices.additional.keys() | choices.ignored
    return guesses.field_of(name) is None and name not in given


def _task(content: FileProfile, guessed: Mapping[str, TypeGuess], guesses: FieldGuesses, choices: Choices) -> TaskGuess:
    columns = {
        name: content.columns[guesses.columns[name]]
        for name in (PREDICTION, LABEL, PROBABILITIES)
        if name in guesses.columns
    }
    size = probabilities.size(columns[PROBABILITIES]) if PROBABILITIES in columns else None
    output = Output(columns.get(PREDICTION), columns.get(LABEL), guessed, size)
    task = tasks.guess(output)
    if choices.task is not None:
        reason = "--task"
        classes = () if choices.task == TaskType.REGRESSION else task.classes or tasks.classes_of(output)
        task = TaskGuess(choices.task, classes, reason)
    if choices.classes:
        name = task.task or (TaskType.BINARY if len(choices.classes) == 2 else TaskType.MULTICLASS)
        task = replace(task, task=name, classes=tuple(sorted(choices.classes)), question=None, reason="--class")
    return task


def _column(column: ColumnProfile, guessed: TypeGuess, guesses: FieldGuesses, choices: Choices) -> ProposedColumn:
    name = column.name
    if name in choices.features:
        return ProposedColumn(name, Use.FEATURE, choices.features[name], "--feature")
    if name in choices.additional:
        return ProposedColumn(name, Use.ADDITIONAL, choices.additional[name], "--additional")
    if name in choices.ignored:
        return ProposedColumn(name, Use.IGNORED, "", "--map")
    if (field := guesses.field_of(name)) is not None:
        return ProposedColumn(name, Use.FIELD, field, guesses.reasons[field] + _missing_labels(column, field))
    if guessed.type is None or name in RESERVED:
        return ProposedColumn(name, Use.IGNORED, "", guessed.reason if guessed.type is None else "a reserved name")
    if reason := _is_no_feature(column, guessed, guesses):
        return ProposedColumn(name, Use.ADDITIONAL, guessed.type, f"{guessed.reason}; {reason}")
    return ProposedColumn(name, Use.FEATURE, guessed.type, guessed.reason)


def _missing_labels(column: ColumnProfile, field: str) -> str:
    """Return how to load labels that are missing and have a word for it. "" if there are none."""
    words = [word for word in column.words if word.strip()] if field == LABEL else []
    return f"; where it is {words[0]}, give --null {words[0]} when you load the file" if words else ""


def _is_no_feature(column: ColumnProfile, guessed: TypeGuess, guesses: FieldGuesses) -> str:
    """Return why a column is no feature. "" if it is one."""
    name = column.name
    if name in guesses.reasons_against:
        return guesses.reasons_against[name]
    if column.is_unique and fields.is_index_name(name):
        return "the number of the row, no feature"
    rank = column_names.rank(name, SAMPLE_ID)
    has_many = len(column.counts) > min(max(types.FEW, column.values / 10), types.MANY)
    if rank is not None and has_many and guessed.type in ("integer", "bigint", "categorical", "text"):
        return "an id, no feature"
    for field, word, worst in ((PREDICTION, "prediction", 3), (LABEL, "label", 1), (PROBABILITIES, "probability", 3)):
        rank = column_names.rank(name, field)
        if rank is None or rank > worst or (field == PROBABILITIES and not guessed.is_share):
            continue
        return f"a {word} by its name, no feature"
    return ""


def _type_questions(
    used: Sequence[ProposedColumn], guessed: Mapping[str, TypeGuess], choices: Choices, rules: FileRules
) -> Sequence[Question]:
    read = [
        column.name
        for column in used
        if column.name in guessed and column.use is not Use.IGNORED and column.name not in choices.features
    ]
    doubts = [Question(rules.doubts[name], "decimal") for name in read if name in rules.doubts]
    unclear = [name for name in read if guessed[name].doubt is Doubt.DATE_ORDER]
    if not unclear:
        return doubts
    sentence = f"{unclear[0]} has dates in which the day or the month may come first. --date-order day or month"
    return [*doubts, Question(sentence, "date-order", ("day", "month"))]
