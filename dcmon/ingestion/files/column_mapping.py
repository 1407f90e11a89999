"""The mapping from the columns of a file to the fields of a model version."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dcmon import errors
from dcmon.formatting import some_of
from dcmon.ingestion.files import column_names, value_conversion
from dcmon.ingestion.files.constants import Constant, OwnValue
from dcmon.ingestion.files.path_columns import PathColumns
from dcmon.ingestion.files.value_conversion import Converter
from dcmon.ingestion.values.conversion import ID
from dcmon.ingestion.values.refusal import ValueRefused
from dcmon.ingestion.values.rules import FILE_RULES, ValueRules
from dcmon.nearest import meant
from dcmon.states import RowKind
from dcmon.storage.columns import FILE_FIELDS, LABEL, PREDICTION, PROBABILITIES, SAMPLE_ID, TIME, Columns

ROW_NUMBER = "#row"  # in `renames` and `known`, whose field is the id: the number of the row, with the file's digest
IGNORED, ALL_OTHERS = "", "*"  # in `renames`: the field of an ignored column; the name for all other columns
# How pandas names an index without a name in a Parquet file, and when it reads a CSV that has one.
PANDAS_INDEX = re.compile(r"__index_level_\d+__|Unnamed: \d+")
# Numbers or names of rows, as pandas (reset_index), polars and R call them: ignored unless they are fields.
INDEX_NAMES = frozenset({"index", "level_0", "row_index", "row_nr", "rownames", "row.names"})


class FileKind(StrEnum):
    """The kind of rows in a file. Samples may have labels beside them."""

    SAMPLES = RowKind.SAMPLES
    LABELS = RowKind.LABELS
    REFERENCE = "reference"


@dataclass(frozen=True)
class ColumnMapping:
    """The fields that rows of a file may have, and the required fields.

    `renames` has the field of each column whose name differs from its field. `rules`: how the file writes its values;
    `field_rules`: the columns that write them differently. `text_fields`: if set, rows have only these fields, with the
    texts as they are in the file. `omitted_fields`: those that are null in a row of JSON lines without them.
    `constants`: the values, by field, that all rows have. `path_names`: the columns in the file's path.
    `known`: fields of columns that need no option; a file need not have these columns.
    `class_fields`: the fields of files that have the probability of each class in a column, in the order of classes.
    """

    types: Mapping[str, str]
    required: Sequence[str]
    renames: Mapping[str, str]
    kind: FileKind
    rules: ValueRules = FILE_RULES
    field_rules: Mapping[str, ValueRules] = field(default_factory=dict)
    text_fields: frozenset[str] | None = None
    omitted_fields: frozenset[str] = frozenset()
    constants: Mapping[str, Constant] = field(default_factory=dict)
    path_names: frozenset[str] = frozenset()
    known: Mapping[str, str] = field(default_factory=dict)
    class_fields: Sequence[str] = ()

    def with_options(self, texts: Mapping[str, str]) -> "ColumnMapping":
        """Return the mapping with the constants of `--set`, by field. Raises InvalidInput."""
        given = {}
        for name, text in texts.items():
            if name not in self.types or name == SAMPLE_ID:
                settable = [known for known in self.types if known != SAMPLE_ID]
                raise errors.InvalidInput(
                    f"--set can't give {name!r}.{meant(name, settable)} The fields of {self.kind} are"
                    f" {_list_names(settable)}."
                )
            given[name] = self._constant(name, text, OwnValue.REFUSED, f"--set {name}={text}")
        return replace(self, constants={**self.constants, **given})

    def with_path(self, columns: PathColumns) -> "ColumnMapping":
        """Return the mapping with the columns of a file's path. Raises InvalidInput."""
        in_path: dict[str, Constant] = {}
        for name, column in columns.items():
            target = self.field(name)
            if column.is_below and target is None:
                raise errors.InvalidInput(
                    f"The path has the column {name!r}, which is not a field. Map it with --map {name}=FIELD, ignore"
                    f" it with --map {name}=, or ignore all unknown columns with --ignore-extra."
                )
            if not target or (target in self.constants and not column.is_below):
                continue
            if target in self.constants or target in in_path:
                other = "--set gives too" if target in self.constants else "another column of the path is mapped to"
                raise errors.InvalidInput(f"The path has the column {name!r}, whose field {target!r} {other}.")
            own_value = OwnValue.EQUAL if column.is_below else OwnValue.PREFERRED
            in_path[target] = self._constant(target, column.text, own_value, f"{name}={column.text} in the path")
        return replace(self, constants={**self.constants, **in_path}, path_names=frozenset(columns))

    def _constant(self, name: str, text: str | None, own_value: OwnValue, where: str) -> Constant:
        try:
            value = None if text is None else value_conversion.convert_text(text, self.types[name], self.rules)
        except ValueRefused as refused:
            raise errors.InvalidInput(f"{where}: {refused.detail(text, of_file=True)}") from refused
        return Constant(value, text, own_value)

    @property
    def numbers_rows(self) -> bool:
        """Return True if a row without an id gets one from its number."""
        has_ids = self.kind == FileKind.SAMPLES
        return has_ids and SAMPLE_ID in (self.renames.get(ROW_NUMBER), self.known.get(ROW_NUMBER))

    def map_columns(self, columns: Sequence[str]) -> dict[str, str]:
        """Return the field of each column of a file, without the ignored columns.

        Raises InvalidInput if a column is missing, duplicate or unknown: a typing error must not lose a column.
        """
        if duplicates := sorted({name for name in columns if columns.count(name) > 1}):
            raise errors.InvalidInput(f"The file has the column {duplicates[0]!r} twice.")
        fields = {name: self.field(name) for name in columns}
        if problems := self._problems(fields):
            raise errors.InvalidInput(
                f"The file's columns do not match the fields of {self.kind}. {' '.join(problems)} Map a column with"
                " --map COLUMN=FIELD, ignore one with --map COLUMN=, or ignore all unknown ones with --ignore-extra."
            )
        read = {name: field for name, field in fields.items() if field and self.reads(field)}
        if repeated := [field for field, count in Counter(read.values()).items() if count > 1]:
            raise errors.InvalidInput(f"Two columns of the file are mapped to the same field {repeated[0]!r}.")
        self._require_all_classes(set(read.values()))
        for name, target in read.items():
            if target in self.constants and self.constants[target].own_value == OwnValue.REFUSED:
                raise errors.InvalidInput(f"The file has the column {name!r}, which --set {target}=… gives too.")
        return read

    def _require_all_classes(self, fields: Set[str]) -> None:
        given = fields & set(self.class_fields)
        if given and PROBABILITIES in fields:
            raise errors.InvalidInput(f"The file has both {PROBABILITIES!r} and {min(given)!r}: ignore one of them.")
        if given and (missing := [name for name in self.class_fields if name not in given and self.reads(name)]):
            raise errors.InvalidInput(f"The file has no column for {missing[0]!r}, but for {min(given)!r}.")

    def is_complete(self, columns: Sequence[str]) -> bool:
        """Return True if each required field has a column, and each column a field."""
        return not self._problems({name: self.field(name) for name in columns})

    def with_usual_names(self, columns: Sequence[str]) -> "ColumnMapping":
        """Return the mapping that also knows columns by the names that people give them, if only one has such a name.

        Only required fields that no column has yet get one, and in a reference the label.
        """
        fields = {name: self.field(name) for name in columns}
        unknown = [name for name, field in fields.items() if field is None]
        usual = {}
        wanted = {*self.required, *([LABEL] if self.kind == FileKind.REFERENCE else [])} & set(FILE_FIELDS)
        for target in wanted - set(fields.values()) - set(self.constants):
            if len(names := column_names.candidates(unknown, target)) == 1:
                usual[names[0]] = target
        return replace(self, known={**self.known, **usual})

    def _problems(self, fields: Mapping[str, str | None]) -> list[str]:
        unknown = [name for name, field in fields.items() if field is None]
        numbered = {SAMPLE_ID} if self.numbers_rows else set()
        missing = sorted(set(self.required) - set(fields.values()) - set(self.constants) - numbered)
        absent = sorted(set(self.renames) - set(fields) - self.path_names - {ALL_OTHERS, ROW_NUMBER})
        problems = []
        if missing:
            problems.append(f"It has no column for {', '.join(missing)}.")
        if unknown:
            problems.append(f"Its columns {', '.join(unknown)} are not fields.")
        if absent:
            problems.append(f"It has no column {', '.join(absent)}, which --map names.")
        return problems

    def reads(self, field: str) -> bool:
        """True if rows have the field."""
        return self.text_fields is None or field in self.text_fields

    def text_converter(self, field: str) -> Converter:
        """Return the function that converts a non-empty CSV cell."""
        if self.text_fields is not None:
            return value_conversion.unchanged
        return value_conversion.text_converter(self.types[field], self.field_rules.get(field, self.rules))

    def value_converter(self, field: str) -> Converter:
        """Return the function that converts Parquet and JSON values (not None)."""
        if self.text_fields is not None:
            return value_conversion.unchanged
        return value_conversion.value_converter(self.types[field], self.field_rules.get(field, self.rules))

    def has_field_in(self, names: Sequence[str]) -> bool:
        """Return True if one of the names has a field: otherwise they may be the values of a row."""
        return any(self.field(name) for name in names)

    def is_known(self, column: str) -> bool:
        """Return True if a column has a field, or is named in `renames`: such a name is no chance."""
        return column in self.renames or self.field(column) in self.types

    def field(self, column: str) -> str | None:
        """Return the field of a column. "" if the column is ignored, None if it is unknown."""
        if column in self.renames:
            field = self.renames[column]
        else:
            field = column if column in self.types else self.known.get(column, column)
        if field in self.types or field == IGNORED:
            return field
        if PANDAS_INDEX.fullmatch(column) or column in INDEX_NAMES:
            return IGNORED
        return self.renames.get(ALL_OTHERS)


class _EveryType(dict[str, str]):
    """The types of all columns: the value is taken as it is read."""

    def __missing__(self, column: str) -> str:
        return value_conversion.AS_READ


class EveryColumn(ColumnMapping):
    """The mapping that reads each column of a file, under its own name and with values as the file has them.

    `expected`: a mapping that knows some of the columns, to tell how the file is written.
    """

    def __init__(self, rules: ValueRules = FILE_RULES, expected: ColumnMapping | None = None) -> None:
        super().__init__(_EveryType(), (), {}, FileKind.SAMPLES, rules)
        self.__dict__["expected"] = expected  # the dataclass is frozen

    def has_field_in(self, names: Sequence[str]) -> bool:
        """Return True if the expected mapping has a field for one of the names, or if there is none."""
        expected: ColumnMapping | None = self.__dict__["expected"]
        return expected is None or expected.has_field_in(names)

    def is_known(self, column: str) -> bool:
        """Return True if the expected mapping knows a column."""
        expected: ColumnMapping | None = self.__dict__["expected"]
        return expected is not None and expected.is_known(column)

    def field(self, column: str) -> str | None:
        """Return the column's name. "" for the index that pandas writes."""
        return IGNORED if PANDAS_INDEX.fullmatch(column) else column


def create(
    columns: Columns, kind: FileKind, renames: Mapping[str, str], rules: ValueRules = FILE_RULES
) -> ColumnMapping:
    """Create the mapping for files of a kind.

    Raises InvalidInput if `renames` names a field that does not exist.
    """
    types = {LABEL: columns.label_type}
    required: Sequence[str] = (SAMPLE_ID, LABEL)
    if kind != FileKind.LABELS:
        types |= {**columns.model_output, **columns.user_columns}
        if PROBABILITIES in types:
            types[PROBABILITIES] = value_conversion.PROBABILITIES_TYPE
        if columns.probability_fields.keys() & {*renames.values(), *columns.file_columns.values()}:
            types |= dict.fromkeys(columns.probability_fields, "numeric")
        required = (PREDICTION, *columns.features)
    if kind != FileKind.REFERENCE:
        types[SAMPLE_ID] = ID
    if kind == FileKind.SAMPLES:
        required = (SAMPLE_ID, TIME, *required)
        types[TIME] = "datetime"
    for column, target in renames.items():
        if target != IGNORED and (target not in types or column == ALL_OTHERS):
            raise errors.InvalidInput(
                f"Column {column!r} can't be mapped to {target!r}.{meant(target, types)} The fields of {kind} are"
                f" {_list_names(types)}."
            )
    class_fields = [name for name in columns.probability_fields if name in types]
    known = _known(columns, kind, types, renames)
    return ColumnMapping(types, required, renames, kind, rules, known=known, class_fields=class_fields)


def _known(columns: Columns, kind: FileKind, types: Mapping[str, str], renames: Mapping[str, str]) -> Mapping[str, str]:
    """Return the fields of columns that the version knows by their names in files.

    A column whose field rows of this kind do not have is ignored; so is one whose field `renames` gives to another.
    """
    renamed = set(renames.values())
    known = {
        column: name if name in types and name not in renamed else IGNORED
        for column, name in columns.file_columns.items()
    }
    if kind == FileKind.LABELS:
        others = (TIME, PREDICTION, PROBABILITIES, *columns.user_columns)
        known = {**dict.fromkeys(others, IGNORED), **known}
    return known


def _list_names(names: Iterable[str], limit: int = 12) -> str:
    return some_of(list(names), limit)
