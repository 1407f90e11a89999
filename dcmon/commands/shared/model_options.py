"""The options of `model create`, parsed into one value."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.arguments import column_mapping, default_set, frequency
from dcmon.commands.shared.choices import FORMATS, FREQUENCIES, choice_option
from dcmon.commands.shared.option_groups import option_group
from dcmon.states import DefaultSet, TaskType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dcmon.ingestion.files.dialect import Dialect
    from dcmon.windows import Frequency

# The same as dcmon.storage.columns.TYPES, written here so that --help does not import it.
COLUMN_TYPES = "numeric, integer, bigint, categorical, text, boolean, array_float, array_float_2d or datetime"

LABEL_DELAY = timedelta(days=3)  # the same as dcmon.storage.models.DEFAULT_LABEL_DELAY
Text = str | None
Texts = list[str] | None
Name = Annotated[Text, typer.Argument(help="Name of the model; with --from, by default that of the file.")]
Task = Annotated[Text, choice_option(what="task", known=TaskType, help="What the model predicts.")]
From = Annotated[
    Text,
    typer.Option(
        "--from",
        help="Propose the model from this file (CSV, Parquet, JSON lines), or create what a YAML of --out says.",
    ),
]
Description = Annotated[Text, typer.Option(help="A few words on the model.")]
Version = Annotated[Text, typer.Option(help="Also create this version, with the given columns; with --from: v1.")]
Features = Annotated[
    Texts,
    typer.Option("--feature", metavar="NAME:TYPE", help=f"Feature as NAME:TYPE; repeatable. TYPE: {COLUMN_TYPES}."),
]
Additional = Annotated[
    Texts, typer.Option("--additional", help="Column that is not a feature, as NAME:TYPE; repeatable.")
]
Classes = Annotated[Texts, typer.Option("--class", help="Class of the labels; repeatable.")]
FileFields = Annotated[
    Texts, typer.Option("--map", help="What files call a field: COLUMN=FIELD; COLUMN= is ignored; repeatable.")
]
Id = Annotated[Text, typer.Option("--id", help="With --from: column of the ids; '#row' numbers the rows of each file.")]
Time = Annotated[Text, typer.Option("--time", help="With --from: column of the times, or none.")]
Prediction = Annotated[Text, typer.Option("--prediction", help="With --from: column of the predictions.")]
Probabilities = Annotated[
    Text, typer.Option("--probabilities", help="With --from: column of the probabilities, or none.")
]
Label = Annotated[Text, typer.Option("--label", help="With --from: column of the labels, or none.")]
FileFormat = Annotated[
    Text,
    choice_option("--format", what="format of files", known=FORMATS, help="With --from; default: by the file's name."),
]
Reference = Annotated[Text, typer.Option("--reference", help="With --from: also load this file as the reference.")]
Write = Annotated[
    Text,
    typer.Option("--out", metavar="FILE", help="With --from: write the proposal, as YAML or (.sh) a command, and end."),
]
Frequency_ = Annotated[
    str, choice_option("--frequency", what="frequency", known=FREQUENCIES, help="Frequency of the default monitors.")
]
Defaults = Annotated[
    Text,
    choice_option(
        what="set of defaults",
        known=DefaultSet,
        help="Default monitors and rules: all (the SDK's and dcmon's own), sdk or none. By default those that"
        ' "dcmon org set --defaults" chose.',
    ),
]
NoDefaults = Annotated[bool, typer.Option("--no-defaults", help="The same as --defaults none.")]


@dataclass(frozen=True)
class ModelSettings:
    """The settings of a new model that no file can tell."""

    description: str | None
    label_ratio: float
    label_delay: timedelta
    time_zone: str
    frequency: "Frequency"
    defaults: "DefaultSet | None"


@dataclass(frozen=True)
class FromFile:
    """A file to propose a model from, and what the operator says about it.

    `fields` has the column of each field that was given.
    """

    path: str
    format: str | None
    dialect: "Dialect"
    fields: "Mapping[str, str]"
    reference: str | None
    write: str | None
    is_replaced: bool


@dataclass(frozen=True)
class TypedModel:
    """A model as typed: all of it, or a file to propose it from. `file_fields`: what files call the fields."""

    name: str | None
    task: str | None
    version: str | None
    settings: ModelSettings
    features: "Mapping[str, str]" = field(default_factory=dict)
    additional: "Mapping[str, str]" = field(default_factory=dict)
    classes: list[str] | None = None
    file_fields: "Mapping[str, str]" = field(default_factory=dict)
    file: FromFile | None = None


def _parse_model(
    name: Name = None,
    task: Task = None,
    from_: From = None,
    description: Description = None,
    version: Version = None,
    feature: Features = None,
    additional: Additional = None,
    class_: Classes = None,
    map_: FileFields = None,
    id_: Id = None,
    time: Time = None,
    prediction: Prediction = None,
    probabilities: Probabilities = None,
    label: Label = None,
    reference: Reference = None,
    write: Write = None,
    replace: options.Replace = False,
    label_ratio: Annotated[float, typer.Option(help=options.LABEL_RATIO)] = 1.0,
    label_delay: Annotated[timedelta, options.LABEL_DELAY] = LABEL_DELAY,
    time_zone: Annotated[str, options.TIME_ZONE] = "UTC",
    frequency_: Frequency_ = "DAY",
    defaults: Defaults = None,
    no_defaults: NoDefaults = False,
    format_: FileFormat = None,
    delimiter: options.Delimiter = None,
    encoding: options.Encoding = None,
    decimal: options.Decimal = None,
    thousands: options.Thousands = None,
    null: options.Null = None,
    date_order: options.FileDateOrder = None,
) -> TypedModel:
    from dcmon.ingestion.files import dialect

    set_name = "none" if no_defaults else defaults
    chosen = None if set_name is None else default_set(set_name)
    every = frequency(frequency_)
    settings = ModelSettings(description, label_ratio, label_delay, time_zone, every, chosen)
    written = {"delimiter": delimiter, "encoding": encoding, "decimal": decimal, "thousands": thousands}
    given = dialect.create({**written, "date_order": date_order}, null)
    typed_fields = {"id": id_, "time": time, "prediction": prediction, "probabilities": probabilities, "label": label}
    fields = {option: column for option, column in typed_fields.items() if column is not None}
    typed = TypedModel(
        name, task, version, settings, _parse_columns(feature), _parse_columns(additional), class_ or None,
        column_mapping(map_, False),
    )  # fmt: skip
    if from_ is None:
        _require_no_file({**fields, "format": format_, "reference": reference, "write": write, **given.given()})
        return _complete(typed)
    file = FromFile(from_, format_, given, fields, reference, write, replace)
    _require_consistent(typed)
    return TypedModel(**{**vars(typed), "file": file})


def _parse_columns(options: list[str] | None) -> dict[str, str]:
    columns = {}
    for option in options or ():
        name, colon, kind = option.rpartition(":")
        if not colon:
            raise typer.BadParameter(f"{option!r} is not NAME:TYPE, like age:numeric.")
        if name in columns:
            raise typer.BadParameter(f"The column {name!r} is given twice.")
        columns[name] = kind
    return columns


def _require_no_file(given: "Mapping[str, object]") -> None:
    if options := [name for name, value in given.items() if value is not None]:
        raise typer.BadParameter(f"--{options[0].replace('_', '-')} says how to read a file: name it with --from FILE.")


def _require_consistent(typed: TypedModel) -> None:
    """Check that no column and no class is given twice. Raises BadParameter."""
    if both := typed.features.keys() & typed.additional.keys():
        raise typer.BadParameter(f"The column {min(both)!r} is given twice: as --feature and as --additional.")
    if typed.classes and (twice := [name for name in typed.classes if typed.classes.count(name) > 1]):
        raise typer.BadParameter(f"The class {twice[0]!r} is given twice.")


def _complete(typed: TypedModel) -> TypedModel:
    """Check that a model without a file has a name, a task, and a version for its columns. Raises BadParameter."""
    if typed.name is None:
        raise typer.BadParameter("Name the model, or propose it from a file: dcmon model create --from FILE.")
    if typed.task is None:
        raise typer.BadParameter("Give --task regression, binary or multiclass; or propose the model with --from FILE.")
    if typed.version is None and (typed.features or typed.additional or typed.classes or typed.file_fields):
        raise typer.BadParameter("Columns and classes belong to a version: name it, like --version v1.")
    if typed.version is not None and not typed.features:
        raise typer.BadParameter(
            f"Version {typed.version!r} has no column: give its features, like --feature age:numeric."
        )
    _require_consistent(typed)
    return typed


new_model = option_group("typed", _parse_model)
