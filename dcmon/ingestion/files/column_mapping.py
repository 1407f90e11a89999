"""Which field of a version each column of a file is for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dcmon import errors
from dcmon.ingestion.files import value_conversion
from dcmon.storage.columns import LABEL, PREDICTION, SAMPLE_ID, TIME, Columns

IGNORED, EVERYTHING_ELSE = "", "*"  # in a mapping: the column is not read; any column not named


@dataclass(frozen=True)
class Layout:
    """What rows of a file hold: the fields there may be, with their types; which must be; the user's column names."""

    kinds: Mapping[str, str]
    required: Sequence[str]
    mapping: Mapping[str, str]
    kind: str  # samples, labels or reference

    def arrange(self, names: Sequence[str]) -> dict[str, str]:
        """The field that each column of a file is for, without those that are ignored.

        Raises InvalidInput when a column is missing, there twice or for nothing: a typing error must not lose a column.
        """
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise errors.InvalidInput(f"The file has the column {twice[0]!r} twice.")
        fields = {name: self.field(name) for name in names}
        unknown = [name for name, found in fields.items() if found is None]
        missing = sorted(set(self.required) - set(fields.values()))
        said = f" It has no column for {', '.join(missing)}." if missing else ""
        said += f" It has {', '.join(unknown)}, for which there is no field." if unknown else ""
        if absent := sorted(set(self.mapping) - set(names) - {EVERYTHING_ELSE}):
            said += f" It has no column {', '.join(absent)} to be mapped."
        if said:
            raise errors.InvalidInput(
                f"The file's columns are not those of the {self.kind}.{said} Map a column with --map COLUMN=FIELD,"
                " leave one out with --map COLUMN=, and the others with --ignore-extra."
            )
        found = {name: found for name, found in fields.items() if found}
        if len(set(found.values())) < len(found):
            raise errors.InvalidInput("Two columns of the file are mapped to the same field.")
        return found

    def field(self, name: str) -> str | None:
        """The field of a column; "" when it is ignored; None when there is none."""
        found = self.mapping.get(name, name)
        if found in self.kinds or found == IGNORED:
            return found
        return self.mapping.get(EVERYTHING_ELSE)


def layout(columns: Columns, kind: str, mapping: Mapping[str, str]) -> Layout:
    """The layout of a file of samples, which may hold labels too, of labels, or of a reference. Raises InvalidInput."""
    kinds = {LABEL: _class_or(columns.label_type, columns)}
    required: Sequence[str] = (SAMPLE_ID, LABEL)
    if kind != "labels":
        kinds |= {**columns.model, **columns.own}
        kinds[PREDICTION] = _class_or(kinds[PREDICTION], columns)
        required = (PREDICTION, *columns.features)
    if kind == "samples":
        required = (SAMPLE_ID, TIME, *required)
    if kind != "reference":
        kinds |= {SAMPLE_ID: "categorical", TIME: "datetime"} if kind == "samples" else {SAMPLE_ID: "categorical"}
    for column, name in mapping.items():
        if name != IGNORED and (name not in kinds or column == EVERYTHING_ELSE):
            raise errors.InvalidInput(f"There is no field {name!r} to map {column!r} to: it is one of {_few(kinds)}.")
    return Layout(kinds, required, mapping, kind)


def _class_or(kind: str, columns: Columns) -> str:
    """That 1.0 means 1, unless the version has such classes, or numbers."""
    is_written_so = any(value_conversion.WHOLE.fullmatch(name) for name in columns.classes or ())
    return value_conversion.CLASS if kind == "categorical" and not is_written_so else kind


def _few(names: Iterable[str], most: int = 12) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
