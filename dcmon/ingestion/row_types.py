"""The row types of a version's samples and reference, and of labels."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Annotated

import msgspec
from msgspec import Meta

from dcmon.ingestion.rejected_row import RejectedRow, RejectionReason
from dcmon.ingestion.row_decoder import MAX_ID_LENGTH, RowType, row_type
from dcmon.ingestion.row_fields import CLASS_VALUE, Field, FieldRole
from dcmon.storage.columns import LABEL, PREDICTION, PROBABILITIES, SAMPLE_ID, TIME, Columns

_SAMPLE_ID = Field(SAMPLE_ID, "categorical", is_nullable=False, role=FieldRole.ID)


def sample_row_type(columns: Columns) -> RowType:
    """Return the type of a sample. Only additional columns and probabilities may be missing."""
    return row_type(
        fields=(
            _SAMPLE_ID,
            Field(TIME, "datetime", is_nullable=False),
            _class_field(columns, PREDICTION, is_nullable=False),
            *(Field(name, kind) for name, kind in columns.features.items()),
            *(Field(name, kind, is_required=False) for name, kind in columns.additional.items()),
            *_probabilities(columns),
        ),
        classes=_classes(columns),
    )


def _class_field(columns: Columns, name: str, *, is_required: bool = True, is_nullable: bool = True) -> Field:
    role = None if columns.is_regression else FieldRole.CLASS
    return Field(name, columns.label_type, is_required, is_nullable, role=role)


def _probabilities(columns: Columns) -> list[Field]:
    """Return the field of probabilities, if the version names its classes."""
    if PROBABILITIES not in columns.model_output:
        return []
    classes, role = tuple(columns.classes or ()), FieldRole.PROBABILITIES
    return [Field(PROBABILITIES, "array_float", is_required=False, length=len(classes), role=role, classes=classes)]


def _classes(columns: Columns) -> frozenset[str] | None:
    return frozenset(columns.classes) if columns.classes and not columns.is_regression else None


def reference_row_type(columns: Columns, names: Sequence[str] | None = None) -> RowType:
    """Return the type of a reference row. It is a list in the order of `names`, or an object if `names` is None.

    Raises RejectedRow if the names do not match the version's columns.
    """
    known = {
        PREDICTION: _class_field(columns, PREDICTION, is_nullable=False),
        LABEL: _class_field(columns, LABEL, is_required=False),
        **{name: Field(name, kind, name in columns.features) for name, kind in columns.user_columns.items()},
    }
    known |= {field.name: field for field in _probabilities(columns)}
    if names is None:
        required_first = sorted(known.values(), key=lambda field: not field.is_required)
        return row_type(tuple(required_first), classes=_classes(columns))
    _require_columns(columns, known, names)
    return row_type(tuple(known[name] for name in names), is_list=True, classes=_classes(columns))


def _require_columns(columns: Columns, known: Collection[str], names: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise RejectedRow(RejectionReason.UNKNOWN_FIELD, name, f"The version has no column {name!r}.")
    for name in (PREDICTION, *columns.features):
        if name not in names:
            raise RejectedRow(RejectionReason.MISSING_FEATURE, name, f"The column {name!r} is missing.")
    for name in names:
        if names.count(name) > 1:
            raise RejectedRow(RejectionReason.MALFORMED, name, f"The column {name!r} occurs twice.")


@lru_cache(maxsize=2)
def label_row_type(is_regression: bool) -> RowType:
    """Return the type of a label: the sample's id, and a label or null."""
    label = float | None if is_regression else CLASS_VALUE | None
    struct = msgspec.defstruct(
        "Label",
        [("id", Annotated[str, Meta(min_length=1, max_length=MAX_ID_LENGTH)]), ("label", label)],
        rename={"id": SAMPLE_ID, "label": LABEL},
        forbid_unknown_fields=True,
    )
    fields = (_SAMPLE_ID, Field(LABEL, "numeric" if is_regression else "categorical"))
    return RowType(fields, msgspec.json.Decoder(struct))
