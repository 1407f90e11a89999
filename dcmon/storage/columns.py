"""Columns of a version, and their types in SQL, JSON Schema and the row decoder."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from dcmon.states import TaskType

SAMPLE_ID, TIME, LABEL = "_dc_sample_id", "_dc_time", "_dc_label"
PREDICTION, PROBABILITIES = "_dc_prediction", "_dc_prediction_probabilities"
KEY, HASH, LEVEL, LOGGED_AT = "_dc_key", "_dc_hash", "_dc_level", "_dc_logged_at"
RESERVED = frozenset(
    {SAMPLE_ID, TIME, LABEL, PREDICTION, PROBABILITIES, KEY, HASH, LEVEL, LOGGED_AT, "_dc_position", "_dc_too_long",
     "_dc_numbers", "_dc_texts"}
)  # fmt: skip

# The fields of rows that are no columns of a version.
FILE_FIELDS = (SAMPLE_ID, TIME, PREDICTION, PROBABILITIES, LABEL)


def probability_field(class_name: str) -> str:
    """Return the field of files that have the probability of each class in a column of its own."""
    return f"{PROBABILITIES}[{class_name}]"


# Names that the tables at run time have already: PostgreSQL's system columns, and a column of each reference table.
TAKEN_NAMES = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid", "revision"})


@dataclass(frozen=True)
class ColumnType:
    """A type of columns, in three languages.

    `sql`: the type in PostgreSQL; `json`: the JSON Schema (draft 7); `python`: the type that msgspec decodes.
    """

    sql: str
    json: Mapping[str, Any]
    python: Any


TYPES: Mapping[str, ColumnType] = {
    "numeric": ColumnType("float8", {"type": "number"}, float),
    "integer": ColumnType(
        "int4",
        {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
        Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)],
    ),
    "bigint": ColumnType(
        "int8",
        {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
        Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)],
    ),
    "categorical": ColumnType("text", {"type": "string"}, str),
    "text": ColumnType("text", {"type": "string"}, str),
    "boolean": ColumnType("bool", {"type": "boolean"}, bool),
    "array_float": ColumnType("float8[]", {"type": "array", "items": {"type": "number"}}, list[float]),
    "array_float_2d": ColumnType(
        "float8[]", {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}, list[list[float]]
    ),
    "datetime": ColumnType(
        "timestamptz", {"type": "string", "format": "date-time"}, Annotated[datetime, Meta(tz=True)]
    ),
}


@dataclass(frozen=True)
class Columns:
    """The columns of a version, in the user's order. `layout` tells how they are stored (storage.table_layout).

    `file_columns` has what files call the fields: column to field, "" for a column that is ignored.
    """

    task_type: str
    features: Mapping[str, str]
    additional: Mapping[str, str]
    classes: Sequence[str] | None = None
    layout: int = 1
    file_columns: Mapping[str, str] = field(default_factory=dict)

    def with_layout(self, layout: int) -> "Columns":
        """Return the same columns, stored in another way."""
        return replace(self, layout=layout)

    @property
    def is_regression(self) -> bool:
        return self.task_type == TaskType.REGRESSION

    @property
    def user_columns(self) -> dict[str, str]:
        """Return features, then additional columns: name to type."""
        return {**self.features, **self.additional}

    @property
    def model_output(self) -> dict[str, str]:
        """Return the model's output: prediction, and probabilities if the version names its classes."""
        output = {PREDICTION: self.label_type}
        if self.classes and not self.is_regression:
            output[PROBABILITIES] = "array_float"
        return output

    @property
    def probability_fields(self) -> dict[str, str]:
        """Return the class of each field that has the probability of one class in files, in the order of classes."""
        return {probability_field(name): name for name in self.classes or () if not self.is_regression}

    @property
    def all(self) -> dict[str, str]:
        """Return the model's output, the version's own columns and the label: name to type."""
        return {**self.model_output, **self.user_columns, LABEL: self.label_type}

    @property
    def filterable(self) -> dict[str, str]:
        """Return the columns that filters may use: all columns and the sample's time."""
        return {**self.all, TIME: "datetime"}

    def check_columns(self, features: Sequence[str]) -> dict[str, str]:
        """Return the columns that checks read: features, the model's output and the label.

        Features that the version does not have are left out.
        """
        return {**{name: self.features[name] for name in features if name in self.features}, **self.model_output,
                LABEL: self.label_type}  # fmt: skip

    @property
    def label_type(self) -> str:
        return label_type_of(self.task_type)


def label_type_of(task_type: str) -> str:
    """Return the column type of labels and predictions, by the model's task type."""
    return "numeric" if task_type == TaskType.REGRESSION else "categorical"


def sql_name(name: str) -> str:
    """Return the name of a feature's column in SQL.

    PostgreSQL allows 63 bytes: the end of a longer name is replaced by a hash. A taken name gets a hash as its end.
    """
    if len(name.encode()) <= 63 and name not in TAKEN_NAMES:
        return name
    return name.encode()[:46].decode(errors="ignore") + "_" + hashlib.blake2b(name.encode(), digest_size=8).hexdigest()


def quoted(name: str) -> str:
    """Return the SQL column of a feature as a quoted identifier."""
    return '"' + sql_name(name).replace('"', '""') + '"'


def qualified(alias: str, name: str) -> str:
    """Return the SQL column of a feature with the alias of its table, for `sqlalchemy.text`."""
    return escaped(f"{alias}.{quoted(name)}")


def escaped(statement: str) -> str:
    """Escape the colons in users' column names, which SQLAlchemy would read as parameters."""
    return statement.replace(":", "\\:")


def monitor_schema(columns: Columns) -> dict[str, Any]:
    """Return the JSON Schema by which the SDK validates samples.

    Features are required but may be null.
    """
    properties = {
        SAMPLE_ID: {"type": "string"},
        TIME: dict(TYPES["datetime"].json),
        **_model_properties(columns),
        **{name: _nullable(TYPES[kind].json) for name, kind in columns.user_columns.items()},
    }
    required = [*columns.features, SAMPLE_ID, TIME, PREDICTION]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def reference_schema(columns: Columns) -> dict[str, Any]:
    """Return the JSON Schema of a reference row.

    It has no id and no time, and a label that may be null.
    """
    properties = {
        **_model_properties(columns),
        **{name: _nullable(TYPES[kind].json) for name, kind in columns.user_columns.items()},
        LABEL: _nullable(TYPES[columns.label_type].json),
    }
    required = [*columns.features, PREDICTION]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _model_properties(columns: Columns) -> dict[str, Any]:
    properties: dict[str, Any] = {PREDICTION: dict(TYPES[columns.model_output[PREDICTION]].json)}
    if PROBABILITIES in columns.model_output:
        size = {"minItems": len(columns.classes or ()), "maxItems": len(columns.classes or ())}
        properties[PROBABILITIES] = _nullable({**TYPES["array_float"].json, **size})
    return properties


def _nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}
