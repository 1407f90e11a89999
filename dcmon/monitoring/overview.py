"""All models of an organization at a glance: their versions, rows, monitors and alerts, each read in one statement."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.org import Alert, Check, Model, ModelMember, Monitor, QuarterHour, Version
from dcmon.severity import Severity
from dcmon.states import AlertState


class RowCounts(NamedTuple):
    """The numbers of rows and labels of a version, and the time at which rows were stored last."""

    rows: int
    labels: int
    last_logged_at: datetime | None


NO_ROWS = RowCounts(0, 0, None)


@dataclass(frozen=True)
class VersionOverview:
    """A version, the time at which rows of it were stored last (None: never), and its firing alerts by severity."""

    version: Version
    rows: int
    labels: int
    last_logged_at: datetime | None
    alerts: Mapping[Severity, int]


@dataclass(frozen=True)
class ModelOverview:
    """A model with its versions, the newest sample first, its number of monitors, and its members."""

    model: Model
    versions: Sequence[VersionOverview]
    monitors: int
    members: Sequence[ModelMember]

    @property
    def rows(self) -> int:
        return sum(version.rows for version in self.versions)

    @property
    def labels(self) -> int:
        return sum(version.labels for version in self.versions)

    @property
    def alerts(self) -> dict[Severity, int]:
        """Return the number of firing alerts by severity, also where it is 0."""
        return {severity: sum(version.alerts[severity] for version in self.versions) for severity in Severity}

    @property
    def start(self) -> datetime | None:
        """Return the time of the oldest sample."""
        times = (version.version.earliest for version in self.versions)
        return min((time for time in times if time is not None), default=None)

    @property
    def end(self) -> datetime | None:
        """Return the time of the newest sample."""
        times = (version.version.watermark for version in self.versions)
        return max((time for time in times if time is not None), default=None)

    @property
    def last_logged_at(self) -> datetime | None:
        """Return when rows were stored last."""
        times = (version.last_logged_at for version in self.versions)
        return max((time for time in times if time is not None), default=None)


def of_models(
    session: Session, model_ids: Sequence[int] | None = None, *, with_rows: bool = True
) -> list[ModelOverview]:
    """Return these models (None: all of the organization), by name. Without rows, their numbers are 0."""
    statement = select(Model).order_by(Model.name)
    if model_ids is not None:
        statement = statement.where(Model.id.in_(model_ids))
    models = session.scalars(statement).all()
    ids = [model.id for model in models]
    versions, monitors, members = _versions(session, ids, with_rows), _monitors(session, ids), _members(session, ids)
    return [ModelOverview(model, versions[model.id], monitors.get(model.id, 0), members[model.id]) for model in models]


def _versions(session: Session, model_ids: Sequence[int], with_rows: bool) -> Mapping[int, list[VersionOverview]]:
    """Return the versions of models, by model."""
    statement = select(Version).where(Version.model_id.in_(model_ids))
    versions = session.scalars(statement.order_by(Version.watermark.desc().nulls_last(), Version.id.desc())).all()
    ids = [version.id for version in versions]
    counts = _row_counts(session, ids) if with_rows else {}
    alerts = _alerts(session, ids)
    by_model = defaultdict[int, list[VersionOverview]](list)
    for version in versions:
        rows = counts.get(version.id, NO_ROWS)
        by_model[version.model_id].append(VersionOverview(version, *rows, alerts[version.id]))
    return by_model


def _row_counts(session: Session, version_ids: Sequence[int]) -> dict[int, RowCounts]:
    """Count the rows and labels of versions."""
    statement = select(
        QuarterHour.version_id,
        func.sum(QuarterHour.n),
        func.sum(QuarterHour.n_labelled),
        func.max(QuarterHour.logged_at),
    ).where(QuarterHour.version_id.in_(version_ids))
    rows = session.execute(statement.group_by(QuarterHour.version_id))
    return {version_id: RowCounts(int(n), int(labelled), logged_at) for version_id, n, labelled, logged_at in rows}


def _alerts(session: Session, version_ids: Iterable[int]) -> Mapping[int, Mapping[Severity, int]]:
    """Count the firing alerts of versions by severity."""
    counts: dict[int, dict[Severity, int]] = {version_id: dict.fromkeys(Severity, 0) for version_id in version_ids}
    firing = select(Alert.version_id, Alert.severity, func.count()).where(Alert.state == AlertState.FIRING)
    for version_id, severity, count in session.execute(firing.group_by(Alert.version_id, Alert.severity)):
        if version_id in counts:
            counts[version_id][Severity(severity)] = count
    return counts


def _monitors(session: Session, model_ids: Sequence[int]) -> dict[int, int]:
    statement = select(Check.model_id, func.count()).join(Monitor, Monitor.check_id == Check.id)
    rows = session.execute(statement.where(Check.model_id.in_(model_ids)).group_by(Check.model_id))
    return {row[0]: row[1] for row in rows}


def _members(session: Session, model_ids: Sequence[int]) -> Mapping[int, list[ModelMember]]:
    by_model = defaultdict[int, list[ModelMember]](list)
    statement = select(ModelMember).where(ModelMember.model_id.in_(model_ids))
    for member in session.scalars(statement.order_by(ModelMember.model_id, ModelMember.user_id)):
        by_model[member.model_id].append(member)
    return by_model


class OnboardingStep(IntEnum):
    """What a new user does next."""

    CREATE_VERSION = 1  # there is no model, or the model has no version
    LOG_SAMPLES = 2
    LOG_LABELS = 3
    DONE = 4


def onboarding_step(session: Session, model_name: str | None) -> OnboardingStep:
    """Return the next step with a model (None: the one that was created last). Raises ModelNotFound."""
    newest = select(Model).order_by(Model.id.desc()).limit(1)
    model = session.scalar(newest if model_name is None else select(Model).where(Model.name == model_name))
    if model is None and model_name is not None:
        raise errors.ModelNotFound(name=model_name)
    if model is None:
        return OnboardingStep.CREATE_VERSION
    versions = _versions(session, [model.id], with_rows=True)[model.id]
    if not versions:
        return OnboardingStep.CREATE_VERSION
    if not any(version.rows for version in versions):
        return OnboardingStep.LOG_SAMPLES
    return OnboardingStep.DONE if any(version.labels for version in versions) else OnboardingStep.LOG_LABELS
