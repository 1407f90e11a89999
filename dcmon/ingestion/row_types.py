"""What rows of a version's samples and reference, and of labels, are made of."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Annotated

import msgspec
from msgspec import Meta

from dcmon.ingestion.row_decoder import LONGEST_ID, Field, RejectedRow, RowType, row_type
from dcmon.storage.columns import LABEL, PREDICTION, PROBABILITIES, SAMPLE_ID, TIME, Columns


def sample_row_type(columns: Columns) -> RowType:
    """A sample: id, time, prediction and every feature required; additional columns and probabilities not."""
    length = len(columns.classes or ()) or None
    return row_type(
        fields=(
            Field(SAMPLE_ID, "categorical", is_nullable=False),
            Field(TIME, "datetime", is_nullable=False),
            Field(PREDICTION, columns.model[PREDICTION], is_nullable=False),
            *(Field(name, kind) for name, kind in columns.features.items()),
            *(Field(name, kind, is_required=False) for name, kind in columns.additional.items()),
            *(Field(PROBABILITIES, "array_float", False, length=length) for _ in [0] if PROBABILITIES in columns.model),
        ),
        classes=_classes(columns),
    )


def _classes(columns: Columns) -> frozenset[str] | None:
    return frozenset(columns.classes) if columns.classes and not columns.is_regression else None


def reference_row_type(columns: Columns, given: Sequence[str] | None = None) -> RowType:
    """A reference row: a list in the order of the `given` names, or an object when none are given.

    Raises Rejected when the names are not the version's.
    """
    known = {
        PREDICTION: Field(PREDICTION, columns.model[PREDICTION], is_nullable=False),
        LABEL: Field(LABEL, columns.label_type, is_required=False),
        **{name: Field(name, kind, name in columns.features) for name, kind in columns.own.items()},
    }
    if PROBABILITIES in columns.model:
        length = len(columns.classes or ())
        known[PROBABILITIES] = Field(PROBABILITIES, "array_float", is_required=False, length=length)
    if given is None:
        return row_type(
            tuple(sorted(known.values(), key=lambda field: not field.is_required)), classes=_classes(columns)
        )
    _require_columns(columns, known, given)
    return row_type(tuple(known[name] for name in given), array_like=True, classes=_classes(columns))


def _require_columns(columns: Columns, known: Collection[str], given: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise RejectedRow("unknown_field", name, f"The version has no column {name!r}.")
    for name in (PREDICTION, *columns.features):
        if name not in given:
            raise RejectedRow("missing_feature", name, f"The column {name!r} is missing.")
    for name in given:
        if given.count(name) > 1:
            raise RejectedRow("malformed", name, f"The column {name!r} is there twice.")


@lru_cache(maxsize=2)
def label_row_type(is_regression: bool) -> RowType:
    """A label: the sample's id and its label, which may be null."""
    label = float | None if is_regression else str | int | float | None
    struct = msgspec.defstruct(
        "Label",
        [("id", Annotated[str, Meta(min_length=1, max_length=LONGEST_ID)]), ("label", label)],
        rename={"id": SAMPLE_ID, "label": LABEL},
        forbid_unknown_fields=True,
    )
    fields = (Field(SAMPLE_ID, "categorical"), Field(LABEL, "numeric" if is_regression else "categorical"))
    return RowType(fields, msgspec.json.Decoder(struct))
