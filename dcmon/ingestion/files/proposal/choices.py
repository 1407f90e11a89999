"""What an operator says about a model that is proposed from a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dcmon.storage.columns import LABEL, PREDICTION, PROBABILITIES, SAMPLE_ID, TIME

NONE = "none"  # instead of a column: no column has the field
# The option of each field.
OPTIONS: Mapping[str, str] = {
    SAMPLE_ID: "id", TIME: "time", PREDICTION: "prediction", PROBABILITIES: "probabilities", LABEL: "label"
}  # fmt: skip


@dataclass(frozen=True)
class Choices:
    """The options that replace guesses.

    `fields` has the column of each field that was given, or NONE. `features` and `additional` have types by column.
    """

    task: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    features: Mapping[str, str] = field(default_factory=dict)
    additional: Mapping[str, str] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    classes: Sequence[str] | None = None


@dataclass(frozen=True)
class Question:
    """What a file does not tell: a sentence, the option that answers it, and the possible values, if they are few."""

    sentence: str
    option: str
    values: Sequence[str] = ()
