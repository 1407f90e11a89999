"""Models, their versions and checks as files declare them."""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, Field

from dcmon.checks import catalogue, parameters
from dcmon.checks.kinds import CheckKind
from dcmon.declarations.declared_monitors import MonitorDeclaration
from dcmon.declarations.values import (
    DataText,
    Declaration,
    Duration,
    Finite,
    Line,
    OwnTerm,
    Problem,
    Prose,
    Share,
    TimeZone,
    fault,
    problem,
)
from dcmon.errors import InvalidInput
from dcmon.nearest import unknown
from dcmon.states import DefaultSet, TaskType
from dcmon.storage.columns import TYPES

TaskName = Literal["binary", "multiclass", "regression"]
DefaultSetName = Literal["all", "sdk", "none"]
assert {*get_args(TaskName)} == {*TaskType}
assert {*get_args(DefaultSetName)} == {*DefaultSet}


def _column_type(typed: str) -> str:
    if typed not in TYPES:
        raise fault(unknown("column type", typed, TYPES))
    return typed


ColumnType = Annotated[str, AfterValidator(_column_type), Field(json_schema_extra={"enum": list(TYPES)})]


class VersionDeclaration(Declaration):
    """A version of a model: its columns. A key that is left out is left as it is."""

    ALWAYS: ClassVar = ("features",)

    renamed_from: Line | None = Field(None, description="Former name: the version is renamed, and keeps its samples.")
    features: dict[DataText, ColumnType] = Field(description="The features and their types.")
    additional: dict[DataText, ColumnType] | None = Field(None, description="Further columns and their types.")
    classes: list[DataText] | None = Field(None, description="The classes, sorted.")
    feature_importance: dict[DataText, Finite] | None = Field(None, description="A share for each feature.")
    label_map: dict[DataText, str] | None = Field(None, description="What classes are called.")
    file_columns: dict[DataText, str] | None = Field(
        None, description="What files call the fields: column to field, '' for a column that is ignored."
    )

    def values(self) -> dict[str, Any]:
        """Return the fields by their keys; what is empty is left out."""
        return {name: value or None if name != "features" else value for name, value in super().values().items()}


class CheckDeclaration(Declaration):
    """A check of a model: a class with parameters, which monitors run."""

    ALWAYS: ClassVar = ("class_",)

    class_: str = Field(alias="class", description="Class of the check, like FeatureDrift: see dcmon check list.")
    module: str | None = Field(None, description="Module of the class, where it is not the usual one.")
    parameters: dict[str, Any] = Field({}, description="Parameters that do not have their default.")

    def problems(self) -> list[Problem]:
        """Return what the catalogue refuses."""
        try:
            kind = self.kind()
        except InvalidInput as error:
            return [problem(error, "class")]
        problems = []
        for name in self.parameters:
            try:
                parameters.require(kind, {name: self.parameters[name]})
            except InvalidInput as error:
                problems.append(problem(error, "parameters", name))
        return problems

    def values(self) -> dict[str, Any]:
        """Return the fields by their keys; the module only where it is not the usual one."""
        module = None if self.module == usual_module(self.class_) else self.module
        return {**super().values(), "module": module}

    def kind(self) -> CheckKind:
        """Return the check of the catalogue. Raises InvalidInput."""
        return catalogue.find(self.class_) if self.module is None else catalogue.for_config(self.module, self.class_)


class ModelDeclaration(Declaration):
    """A model. A key or section that is left out is left as it is; a new model has the default."""

    SECTIONS: ClassVar = ("versions", "checks", "monitors")

    renamed_from: Line | None = Field(None, description="Former name: the model is renamed, and keeps all it has.")
    task: TaskName | None = Field(None, description="What it predicts; needed to create the model, and never changed.")
    description: Prose | None = None
    time_zone: TimeZone | None = None
    label_ratio: Share | None = Field(None, description="Share of labels for which a window waits.")
    label_delay: Duration | None = None
    lateness: Duration | None = None
    retention: OwnTerm | None = None
    default_monitors: DefaultSetName | None = Field(
        None, description="Which default monitors it has; with a section `monitors`, those alone are created."
    )
    versions: dict[Line, VersionDeclaration] | None = None
    checks: dict[Line, CheckDeclaration] | None = None
    monitors: dict[Line, MonitorDeclaration] | None = None


def usual_module(class_name: str) -> str | None:
    """Return the module that a class has where a file names none; None if the class is not known here."""
    try:
        kind = catalogue.by_class(class_name)
    except InvalidInput:
        return None
    return None if kind is None else kind.module_name


def is_class(name: str) -> bool:
    """Return True if a check of the catalogue has this class name."""
    try:
        return catalogue.by_class(name) is not None
    except InvalidInput:
        return False


def implicit_check(name: str) -> CheckDeclaration:
    """Return the check that a monitor means which names a class in place of a check."""
    return CheckDeclaration.model_validate({"class": name})
