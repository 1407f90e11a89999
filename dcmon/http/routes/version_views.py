"""What the routes of versions show: a version with the statistics of its columns."""

from datetime import UTC, datetime

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from dcmon.db.tables.org import Model, Version
from dcmon.states import TaskType
from dcmon.storage import columns, references, sample_tables, version_statistics
from dcmon.storage.column_statistics import Statistics

DISTANT_FUTURE, EPOCH = datetime(3000, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC)
MAX_COLUMNS = 1000  # features in a list of columns


class RangeStatistics(BaseModel):
    """The smallest and the largest value of a column of numbers or times (in epoch seconds); null without values."""

    min: int | float | None
    max: int | float | None


class ValueStatistics(BaseModel):
    """The values of a column of categories or booleans, sorted: at most the first 200."""

    values: list[bool] | list[str]


class VersionDetails(BaseModel):
    """A version. Without samples, it starts in the year 3000 and ends in 1970.

    `statistics` are those of samples and reference; `statistics_pending_rows` counts stored samples that they do not
    have yet: request the version again until it is 0.
    """

    id: int
    model_id: int
    name: str
    start_time: str
    end_time: str
    features_columns: dict[str, str]
    additional_data_columns: dict[str, str]
    model_columns: dict[str, str]
    meta_columns: dict[str, str]
    feature_importance: dict[str, float] | None
    statistics: dict[str, RangeStatistics | ValueStatistics]
    statistics_pending_rows: int
    classes: list[str] | None
    label_map: dict[str, str] | None
    balance_classes: bool


class ColumnValues(BaseModel):
    """What is known of a column: of numbers and times min and max, of categories and booleans its values."""

    max: int | float | None = None
    min: int | float | None = None
    values: list[bool] | list[str] | None = None


class ColumnView(BaseModel):
    """The type of a column, and the statistics of its values."""

    type: str
    stats: ColumnValues = Field(default_factory=ColumnValues)


def details(session: Session, model: Model, version: Version) -> VersionDetails:
    """Return a version with up-to-date statistics, which may write them in the session's transaction."""
    known = version_statistics.refreshed(session, model, version)
    return VersionDetails.model_validate(
        {
            "id": version.id,
            "model_id": version.model_id,
            "name": version.name,
            "start_time": (version.earliest or DISTANT_FUTURE).isoformat(),
            "end_time": (version.watermark or EPOCH).isoformat(),
            "features_columns": version.features,
            "additional_data_columns": version.additional,
            "model_columns": sample_tables.columns(model, version).model_output,
            "meta_columns": {columns.SAMPLE_ID: "text", columns.TIME: "datetime"},
            "feature_importance": version.feature_importance,
            "statistics": known.columns,
            "statistics_pending_rows": known.pending_rows,
            "classes": version.classes,
            "label_map": version.label_map,
            "balance_classes": model.task_type != TaskType.REGRESSION and references.is_unbalanced(session, version),
        }
    )


def column_views(session: Session, model: Model, version: Version) -> dict[str, ColumnView]:
    """Return a version's features, the most important first and at most 1,000, then its additional data."""
    importance = version.feature_importance or {}
    features = sorted(version.features, key=lambda name: -importance.get(name, 0.0))[:MAX_COLUMNS]
    shown = {name: version.features[name] for name in features} | dict(version.additional)
    statistics: Statistics = version_statistics.refreshed(session, model, version).columns
    return {
        name: ColumnView.model_validate({"type": kind, "stats": statistics.get(name, {})})
        for name, kind in shown.items()
    }
