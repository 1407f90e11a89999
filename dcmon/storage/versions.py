"""Versions: the columns of a model, and the tables that hold its samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.org import Model, Version
from dcmon.formatting import listed, some_of
from dcmon.nearest import meant, unknown
from dcmon.states import TaskType
from dcmon.storage import sample_tables, table_layout
from dcmon.storage.categories import normalize
from dcmon.storage.columns import (
    FILE_FIELDS,
    LEVEL,
    LOGGED_AT,
    PROBABILITIES,
    RESERVED,
    TIME,
    TYPES,
    Columns,
    probability_field,
    sql_name,
)  # fmt: skip
from dcmon.text import require_storable

MAX_NAME_LENGTH = 100


@dataclass(frozen=True)
class NewVersion:
    """The properties of a version to create. Columns map names to types (dcmon.storage.columns.TYPES).

    `file_columns`: what files call the fields; column to field, "" for a column that is ignored.
    """

    name: str
    features: Mapping[str, str]
    additional: Mapping[str, str] = field(default_factory=dict)
    feature_importance: Mapping[str, float] | None = None
    classes: Sequence[str] | None = None
    label_map: Mapping[str, str] | None = None
    file_columns: Mapping[str, str] | None = None


def create(session: Session, model: Model, new: NewVersion) -> Version:
    """Create a version with its tables, or return the existing version of that name.

    Raises InvalidInput, or Conflict when a version of that name has other columns.
    """
    sample_tables.lock_naming(session, f"versions of {model.id}")
    existing = session.scalar(select(Version).where(Version.model_id == model.id, Version.name == new.name))
    if existing is not None:
        _require_same(model, existing, new)
        return existing
    require_valid(model, new)
    version = Version(
        model_id=model.id,
        name=new.name,
        features=dict(new.features),
        additional=dict(new.additional),
        feature_importance=None if new.feature_importance is None else dict(new.feature_importance),
        classes=None if new.classes is None else list(new.classes),
        label_map=None if new.label_map is None else dict(new.label_map),
        file_columns=None if new.file_columns is None else dict(new.file_columns),
        relation=sample_tables.next_relation(session),
        layout=table_layout.choose(Columns(model.task_type, new.features, new.additional, new.classes)),
    )
    session.add(version)
    session.flush()
    sample_tables.create_version_tables(session, model, version)
    return version


def copy(session: Session, version: Version, to: Model, name: str) -> Version:
    """Create a version with the columns of another one, in its model or a model of the same task, without rows.

    It gets the same layout of tables. Raises InvalidInput, or Conflict when the name is taken.
    """
    sample_tables.lock_naming(session, f"versions of {to.id}")
    taken = session.scalar(select(Version.id).where(Version.model_id == to.id, Version.name == name))
    if taken is not None:
        raise errors.Conflict(f"Model {to.name!r} has a version {name!r} already. Choose another name.")
    new = NewVersion(
        name, version.features, version.additional, version.feature_importance, version.classes, version.label_map,
        version.file_columns,
    )  # fmt: skip
    require_valid(to, new)
    created = Version(
        model_id=to.id, **vars(new), relation=sample_tables.next_relation(session), layout=version.layout
    )  # fmt: skip
    session.add(created)
    session.flush()
    sample_tables.create_version_tables(session, to, created)
    return created


def _require_same(model: Model, existing: Version, new: NewVersion) -> None:
    pairs: dict[str, tuple[Any, Any]] = {
        "features": (existing.features, dict(new.features)),
        "additional data": (existing.additional, dict(new.additional)),
    }
    if new.feature_importance is not None:
        pairs["feature importance"] = (existing.feature_importance, dict(new.feature_importance))
    if new.classes is not None:
        pairs["classes"] = (existing.classes, list(new.classes))
    if new.file_columns is not None:
        pairs["columns of files"] = (existing.file_columns or {}, dict(new.file_columns))
    for title, (current, wanted) in pairs.items():
        if current != wanted:
            raise errors.Conflict(
                f"Version {new.name!r} already exists, with other {title}. Choose another name:"
                f' "dcmon version list --model {model.name}" lists the versions.'
            )


def require_valid(model: Model, new: NewVersion) -> None:
    """Raise InvalidInput if a version of a model can't be like this."""
    if not new.name.strip() or len(new.name) > MAX_NAME_LENGTH:
        raise errors.InvalidInput(f"A version's name has 1 to {MAX_NAME_LENGTH} characters.")
    label_texts = chain.from_iterable((new.label_map or {}).items())
    for chosen in (new.name, *new.features, *new.additional, *(new.classes or ()), *label_texts):
        require_storable(chosen)
    _require_columns(new)
    if new.feature_importance is not None:
        require_importance(new.features, new.feature_importance)
    if new.classes is not None:
        _require_classes(model, new.classes)
    _require_fields(new)


def _require_columns(new: NewVersion) -> None:
    columns = {**new.features, **new.additional}
    for name, kind in columns.items():
        if kind not in TYPES:
            raise errors.InvalidInput(f"Column {name!r}: {unknown('column type', kind, TYPES)}")
        if name in RESERVED:
            raise errors.InvalidInput(f"No column can be called {name!r}: the name is reserved.")
        if not name:
            raise errors.InvalidInput("A column's name can't be empty.")
    if repeated := sorted(set(new.features) & set(new.additional)):
        raise errors.InvalidInput(f"{', '.join(repeated)} can't be a feature and additional data at once.")
    if len({sql_name(name) for name in columns}) < len(columns):
        raise errors.InvalidInput("Two columns have the same name.")


def _require_fields(new: NewVersion) -> None:
    """Check that files name fields of the version, and each field once. Raises InvalidInput."""
    file_columns = new.file_columns or {}
    of_classes = [probability_field(name) for name in new.classes or ()]
    known = {*FILE_FIELDS, *of_classes, *new.features, *new.additional, ""}
    for column, name in file_columns.items():
        if name not in known:
            raise errors.InvalidInput(
                f"Column {column!r} of files can't be {name!r}: it is a column of the version, or one of"
                f" {', '.join(FILE_FIELDS)}."
            )
        if column in new.features or column in new.additional:
            raise errors.InvalidInput(
                f"Column {column!r} of files is a column of the version, so it has no other name."
            )
    names = [name for name in file_columns.values() if name]
    if (given := {*names} & {*of_classes}) and (PROBABILITIES in names or len(given) < len(of_classes)):
        missing = next((name for name in of_classes if name not in given), None)
        problem = f"no column is {missing!r}" if missing else f"another column is {PROBABILITIES!r}"
        raise errors.InvalidInput(f"Columns of files have probabilities of single classes, but {problem}.")
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise errors.InvalidInput(f"Two columns of files are mapped to the same field {repeated!r}.")


def require_importance(features: Mapping[str, str], importance: Mapping[str, float]) -> None:
    """Raise InvalidInput unless `importance` has a number of at least 0 for each feature."""
    if set(importance) != set(features):
        differing = sorted(set(importance) ^ set(features))
        raise errors.InvalidInput(f"Feature importance must name exactly the features; it differs in {differing[:5]}.")
    if any(share < 0 for share in importance.values()):
        raise errors.InvalidInput("Feature importance can't be negative.")


def _require_classes(model: Model, classes: Sequence[str]) -> None:
    if model.task_type == TaskType.REGRESSION:
        raise errors.InvalidInput("A regression model has no classes.")
    if list(classes) != sorted(set(classes)):
        raise errors.InvalidInput("Classes must be sorted, and each named once.")
    if len(set(map(normalize, classes))) < len(classes):
        raise errors.InvalidInput(
            "Two classes are spellings of one, such as 1 and 1.0, or true and True: name it once."
        )
    if len(classes) < 2 or (model.task_type == TaskType.BINARY and len(classes) > 2):
        raise errors.InvalidInput(f"A {model.task_type} model can't have {len(classes)} classes.")


def entries(session: Session, model: Model) -> list[Version]:
    """Return the versions of a model, the one with the newest sample first."""
    statement = select(Version).where(Version.model_id == model.id)
    return list(session.scalars(statement.order_by(Version.watermark.desc().nulls_last(), Version.id.desc())))


class ModelVersion(NamedTuple):
    """A version with its model."""

    model: Model
    version: Version


def get(session: Session, version_id: int) -> ModelVersion:
    """Return a version with its model. Raises NotFound."""
    statement = select(Model, Version).join(Version, Version.model_id == Model.id).where(Version.id == version_id)
    row = session.execute(statement).one_or_none()
    if row is None:
        raise errors.NotFound(what="model version", name=version_id)
    return ModelVersion(row[0], row[1])


def find_or_only(session: Session, model: Model, name: str | None) -> Version:
    """Return a version by its name; None: that of a model with only one. Raises VersionNotFound or InvalidInput."""
    if name is not None:
        return find(session, model, name)
    candidates = entries(session, model)
    if not candidates:
        raise errors.InvalidInput(f"Model {model.name!r} has no version yet: create one first.")
    if len(candidates) > 1:
        names = some_of([version.name for version in candidates], 5)
        raise errors.InvalidInput(f"Model {model.name!r} has several versions ({names}): choose one with --version.")
    return candidates[0]


def full_name(model: Model, version: Version) -> str:
    """Return what `find_named` finds a version by, MODEL/VERSION."""
    return f"{model.name}/{version.name}"


def find_named(session: Session, name: str) -> ModelVersion:
    """Return the version of a name MODEL/VERSION, of a name VERSION that only one model has, or of an id.

    Raises VersionNotFound, or InvalidInput if several versions have the name.
    """
    statement = select(Model, Version).join(Version, Version.model_id == Model.id).order_by(Version.id)
    entries_by_name = [(full_name(*row), row) for row in session.execute(statement).tuples()]
    matches = [row for full, row in entries_by_name if full == name]
    matches = matches or [row for _, row in entries_by_name if row[1].name == name]
    matches = matches or [row for _, row in entries_by_name if str(row[1].id) == name]
    if not matches:
        known = [full if "/" in name else version.name for full, (_, version) in entries_by_name]
        sentence = f"There is no version {name!r}.{meant(name, known)}"
        raise errors.VersionNotFound(f'{sentence} "dcmon version list" lists the versions.')
    if len(matches) > 1:
        choices = " or ".join(repr(full_name(*row)) for row in matches)
        raise errors.InvalidInput(f"There are {len(matches)} versions {name!r}. Use {choices}.")
    return ModelVersion(*matches[0])


def join_words(session: Session, words: Sequence[str]) -> list[str]:
    """Return the names of versions that were typed, where one name may be two words: MODEL VERSION.

    Raises VersionNotFound if the first of two words is a model, and the second none of its versions.
    """
    model = session.scalar(select(Model).where(Model.name == words[0])) if len(words) == 2 else None
    if model is None:
        return list(words)
    try:
        return [full_name(model, find(session, model, words[1]))]
    except errors.VersionNotFound:
        if any("/" in word for word in words):
            return list(words)
        raise


def find_one(session: Session, words: Sequence[str]) -> ModelVersion:
    """Return the only version that was typed, in one word or two. Raises VersionNotFound or InvalidInput."""
    names = join_words(session, words)
    if len(names) != 1:
        raise errors.InvalidInput(f"{len(names)} versions are named, {listed(names)}: name one, as MODEL/VERSION.")
    return find_named(session, names[0])


def find(session: Session, model: Model, name: str) -> Version:
    """Return the version of that name. Raises VersionNotFound."""
    version = session.scalar(select(Version).where(Version.model_id == model.id, Version.name == name))
    if version is None:
        known = session.scalars(select(Version.name).where(Version.model_id == model.id))
        raise errors.VersionNotFound(name=name, model=model.name, known=known)
    return version


def change(
    session: Session, version: Version, name: str | None, feature_importance: Mapping[str, float] | None
) -> None:
    """Rename a version or set its feature importance. Raises InvalidInput or Conflict."""
    if feature_importance is not None:
        require_importance(version.features, feature_importance)
        version.feature_importance = dict(feature_importance)
    if name is not None and name != version.name:
        same_name = select(Version.id).where(Version.model_id == version.model_id, Version.name == name)
        if session.scalar(same_name) is not None:
            model = session.get_one(Model, version.model_id)
            raise errors.Conflict(
                f"Model {model.name!r} already has a version {name!r}. Choose another name:"
                f' "dcmon version list --model {model.name}" lists the versions.'
            )
        version.name = name
    session.flush()


def refresh_time_range(session: Session, version: Version) -> None:
    """Set the times of the version's first and newest sample, after samples were deleted."""
    values = {"version": version.id}
    quarter = "select {}(at) from quarter_hours where version_id = :version and n > 0"
    first, last = (session.scalar(text(quarter.format(end)), values) for end in ("min", "max"))
    oldest, newest = _extreme(session, version, first, "asc"), _extreme(session, version, last, "desc")
    # Write all values, also equal ones: another transaction may have changed the row since this session read it.
    span = {"earliest": oldest.time, "watermark": newest.time, "newest_logged_at": newest.logged_at}
    session.execute(update(Version).where(Version.id == version.id).values(**span))


class _SampleTimes(NamedTuple):
    """The time of a sample, and when it was logged; None without a sample."""

    time: datetime | None
    logged_at: datetime | None


def _extreme(session: Session, version: Version, quarter: datetime | None, order: str) -> _SampleTimes:
    """Return the times of the first or last sample in a quarter hour."""
    if quarter is None:
        return _SampleTimes(None, None)
    # The statement names all levels, so that the index on (level, time, hash) finds the few rows.
    sample = session.execute(
        text(
            f"select {TIME}, {LOGGED_AT} from samples_{version.relation} where {LEVEL} = any(:levels)"
            f" and {TIME} >= :at and {TIME} < :at + interval '15 minutes' order by 1 {order}, 2 {order} limit 1"
        ),
        {"levels": list(range(32)), "at": quarter},
    ).one_or_none()
    return _SampleTimes(sample[0], sample[1]) if sample else _SampleTimes(None, None)
