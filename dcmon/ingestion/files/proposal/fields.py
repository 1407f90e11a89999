"""Which columns have the ids, times, predictions, probabilities and labels."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dcmon import errors
from dcmon.formatting import some_of
from dcmon.ingestion.files import column_mapping, column_names
from dcmon.ingestion.files.column_names import WORST_RANK
from dcmon.ingestion.files.proposal.choices import NONE, OPTIONS, Choices, Question
from dcmon.ingestion.files.proposal.profile import ColumnProfile, FileProfile
from dcmon.ingestion.files.proposal.types import TypeGuess
from dcmon.nearest import meant
from dcmon.storage.columns import LABEL, PREDICTION, PROBABILITIES, SAMPLE_ID, TIME

_PREDICTION_OF = re.compile(
    r"(?:pred|preds|predicted|prediction|forecast|yhat|y_hat|y_pred)_(?P<after>.+)"
    r"|(?P<before>.+)_(?:pred|predicted|prediction|forecast|hat)"
)
_INDEX = re.compile(r"(unnamed_\d+|index|level_\d+|row|row_number|rownames?)")


@dataclass
class FieldGuesses:
    """The column of each field, the reason, and what is not certain.

    `reasons_against`: why a column is neither a field nor a feature.
    """

    columns: dict[str, str] = field(default_factory=dict)
    reasons_against: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    questions: list[Question] = field(default_factory=list)

    def choose(self, name: str, column: str, reason: str) -> None:
        """Give a field its column."""
        self.columns[name], self.reasons[name] = column, reason

    def field_of(self, column: str) -> str | None:
        """Return the field of a column; None if it has none."""
        return next((name for name, chosen in self.columns.items() if chosen == column), None)


def guess(file: FileProfile, types: Mapping[str, TypeGuess], choices: Choices) -> FieldGuesses:
    """Guess the columns of all fields. Raises InvalidInput if an option names a column that does not exist."""
    guesses = FieldGuesses()
    for name, column in choices.fields.items():
        if column == NONE and column not in file.columns:
            continue
        _require_column(file, name, column)
        guesses.choose(name, column, f"--{OPTIONS[name]}")
    for name, guess_field in _GUESSES.items():
        if name not in choices.fields:
            left = {
                column: profile
                for column, profile in file.columns.items()
                if guesses.field_of(column) is None
                and not (choices.features.keys() | choices.additional.keys() | choices.ignored) & {column}
            }
            guess_field(guesses, left, types, file.rows)
    return guesses


def _require_column(file: FileProfile, name: str, column: str) -> None:
    row_number = name == SAMPLE_ID and column == column_mapping.ROW_NUMBER
    if column not in file.columns and not row_number:
        known = ", ".join(list(file.columns)[:12])
        raise errors.InvalidInput(
            f"--{OPTIONS[name]} {column}: {file.path} has no such column.{meant(column, file.columns)}"
            f" Its columns are {known}{' and more' if len(file.columns) > 12 else ''}."
        )


_Columns = Mapping[str, ColumnProfile]


def _best(names: Iterable[str], name: str, worst: int = WORST_RANK) -> list[str]:
    return column_names.candidates(names, name, worst)


def _list(columns: Sequence[str]) -> str:
    return some_of(columns, 5)


def _several(guesses: FieldGuesses, name: str, columns: Sequence[str], what: str) -> None:
    option = OPTIONS[name]
    guesses.questions.append(
        Question(f"{_list(columns)} may have the {what}: which one? --{option} {columns[0]}", option, columns)
    )


def _time(guesses: FieldGuesses, columns: _Columns, types: Mapping[str, TypeGuess], rows: int) -> None:
    times = [name for name in columns if types[name].type == "datetime"]
    best = _best(times, TIME) or times
    if len(best) > 1 and (complete := [name for name in best if not _missing(columns[name])]) and len(complete) == 1:
        best = complete
    if len(best) == 1:
        others = f", unlike {_list([name for name in times if name != best[0]])}" if len(times) > 1 else ""
        guesses.choose(TIME, best[0], f"{_by_name(best[0], TIME)}{types[best[0]].reason}{others}")
    elif best:
        _several(guesses, TIME, best, "time of the prediction")
    else:
        guesses.questions.append(
            Question(
                "No column has times. Name one with --time COLUMN, or give all rows of a file one time: --time none"
                " here, and dcmon ingest file … --set _dc_time=2026-11-24T10:00:00Z.", "time",
            )
        )  # fmt: skip


def _missing(profile: ColumnProfile) -> int:
    return profile.nulls + profile.words.total()


def _by_name(column: str, name: str) -> str:
    return "its name, and " if column_names.rank(column, name) is not None else "the only column of "


def _id(guesses: FieldGuesses, columns: _Columns, types: Mapping[str, TypeGuess], rows: int) -> None:
    unique = [name for name, profile in columns.items() if profile.is_unique and _may_be_id(profile, types[name])]
    best = _best(unique, SAMPLE_ID)
    if not best:
        best = [name for name in unique if _looks_like_id(columns[name])]
    if len(best) == 1:
        by_name = "its name, and " if column_names.rank(best[0], SAMPLE_ID) is not None else ""
        guesses.choose(SAMPLE_ID, best[0], f"{by_name}different in each of {rows:,} rows")
    elif best:
        _several(guesses, SAMPLE_ID, best, "id of each row")
    else:
        named = _best(columns, SAMPLE_ID)
        hint = (
            f" {_list(named)} {'have' if len(named) > 1 else 'has'} values that repeat or are missing." if named else ""
        )
        guesses.questions.append(
            Question(
                f"No column has an id for each row.{hint} Name one with --id COLUMN; or let dcmon number the rows of"
                f" each file: --id '{column_mapping.ROW_NUMBER}' (then labels must be in the same file).", "id",
            )
        )  # fmt: skip


def is_index_name(name: str) -> bool:
    """Return True for names that programs give to the number of a row, such as "Unnamed: 0"."""
    return _INDEX.fullmatch(column_names.plain(name)) is not None


def _may_be_id(profile: ColumnProfile, typed: TypeGuess) -> bool:
    is_index = is_index_name(profile.name)
    is_rank = column_names.rank(profile.name, SAMPLE_ID) is not None
    return typed.type in ("integer", "bigint", "categorical", "text") and (is_rank or not is_index)


def _looks_like_id(profile: ColumnProfile) -> bool:
    """Return True for texts that have digits and no blanks. Whole numbers in order may be an index of each file."""
    return len(profile.counts) > 1 and all(
        isinstance(value, str) and " " not in value and any(character.isdecimal() for character in value)
        for value in profile.counts
    )


def _prediction(guesses: FieldGuesses, columns: _Columns, types: Mapping[str, TypeGuess], rows: int) -> None:
    outputs = [name for name in columns if types[name].type in _OUTPUT_TYPES]
    best = _best(outputs, PREDICTION)
    if len(best) > 1 and (pairs := [name for name in best if _target_of(name, columns)]) and len(pairs) == 1:
        best = pairs
    if len(best) == 1:
        guesses.choose(PREDICTION, best[0], "its name")
    elif best:
        _several(guesses, PREDICTION, best, "prediction")
    else:
        scores = _best(outputs, PROBABILITIES)
        hint = (
            f" {_list(scores)} may be a prediction; or a probability, beside which the file needs a column with the"
            f" predicted class, such as 1 where {scores[0]} is at least 0.5."
            if scores
            else ""
        )
        guesses.questions.append(
            Question(
                f"No column has a name of a prediction.{hint} Name it with --prediction COLUMN. A file without"
                " predictions, such as the data for training, can't show how a model does.", "prediction",
            )
        )  # fmt: skip


_OUTPUT_TYPES = ("numeric", "integer", "bigint", "boolean", "categorical", "text")


def _target_of(prediction: str, columns: Iterable[str]) -> str | None:
    """Return the column that a prediction is of, by its name: price for predicted_price."""
    match = _PREDICTION_OF.fullmatch(column_names.plain(prediction))
    target = (match["after"] or match["before"]) if match else None
    same = [name for name in columns if column_names.plain(name) == target]
    return same[0] if len(same) == 1 else None


def _label(guesses: FieldGuesses, columns: _Columns, types: Mapping[str, TypeGuess], rows: int) -> None:
    outputs = [name for name in columns if types[name].type in _OUTPUT_TYPES]
    prediction = guesses.columns.get(PREDICTION)
    target = _target_of(prediction, outputs) if prediction is not None else None
    best = _best(outputs, LABEL)
    if target is not None and (not best or target in best or column_names.rank(best[0], LABEL) != 1):
        guesses.choose(LABEL, target, f"the name of the prediction {prediction!r}")
    elif len(best) == 1:
        guesses.choose(LABEL, best[0], "its name")
    elif best:
        _several(guesses, LABEL, best, "label")


def _probabilities(guesses: FieldGuesses, columns: _Columns, types: Mapping[str, TypeGuess], rows: int) -> None:
    """Take lists of shares, or one column of shares. Questions are asked when the classes are known."""
    likely = [name for name in columns if types[name].is_share]
    best = _best(likely, PROBABILITIES)
    if len(best) == 1:
        guesses.choose(PROBABILITIES, best[0], "its name, and values from 0 to 1")


_Guess = Callable[[FieldGuesses, _Columns, Mapping[str, TypeGuess], int], None]
# In this order: a column has one field, and later guesses see what is left.
_GUESSES: Mapping[str, _Guess] = {
    PREDICTION: _prediction, LABEL: _label, PROBABILITIES: _probabilities, TIME: _time, SAMPLE_ID: _id,
}  # fmt: skip
