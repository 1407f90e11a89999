"""Routes that show all models at a glance, and how their rows come in."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlalchemy.orm import Session

from dcmon.alerting import rules
from dcmon.db.tables.org import Model
from dcmon.http.auth import Reader
from dcmon.http.fields import IdentifierKind, Time
from dcmon.http.paging import Paged
from dcmon.http.responses import NAMES_OBJECT
from dcmon.http.routes.models import resolve
from dcmon.http.routes.version_views import DISTANT_FUTURE, EPOCH
from dcmon.ingestion import sample_counts
from dcmon.ingestion.sample_counts import BucketUnit
from dcmon.monitoring import auto_frequency, overview
from dcmon.monitoring.overview import ModelOverview
from dcmon.severity import Severity
from dcmon.storage import versions
from dcmon.windows import Frequency, Window

router = APIRouter(tags=["overview"])
HOUR, DAY = 3600, 86_400
TimeFilter = Annotated[
    int, Query(ge=1, le=3650 * DAY, description="seconds before end_time; 3600: by quarter hour, 86400: by hour")
]


class AvailableVersion(BaseModel):
    """A version, with the times of its first and last sample in epoch seconds (3000 and 1970 without samples)."""

    id: int
    model_id: int
    name: str
    start_time: int
    end_time: int


class ModelMemberView(BaseModel):
    """A member of a model, by the user's id."""

    id: int
    notify: bool


class AvailableModel(BaseModel):
    """A model with its versions, monitors and firing alerts. Times are in epoch seconds, null without samples."""

    id: int
    name: str
    alerts_count: int
    monitors_count: int
    latest_time: int | None
    start_time: int | None
    description: str | None
    task_type: str
    has_data: bool
    max_severity: Severity | None
    versions: list[AvailableVersion]
    members: list[ModelMemberView]
    severities_count: dict[Severity, int]


class DataIngestion(BaseModel):
    """The rows and labels of a span of time that begins at `timestamp`, in epoch seconds."""

    count: int
    label_count: int
    timestamp: int


class ProposedFrequency(BaseModel):
    """A frequency, and a span of time in epoch seconds."""

    frequency: Frequency
    start: int
    end: int


class Onboarding(BaseModel):
    """What a new user does next: 1 create a model and a version, 2 log samples, 3 log labels, 4 nothing."""

    step: int


@router.get("/available-models")
def available_models(access: Reader, page: Paged, show_all: bool = False) -> list[AvailableModel]:
    """List the models with their versions, monitors and alerts, by name."""
    with access.session() as session:
        return [_available(model) for model in page.of(overview.of_models(session, with_rows=False))]


def _available(model: ModelOverview) -> AvailableModel:
    alerts = model.alerts
    return AvailableModel(
        id=model.model.id,
        name=model.model.name,
        alerts_count=sum(alerts.values()),
        monitors_count=model.monitors,
        latest_time=epoch(model.end),
        start_time=epoch(model.start),
        description=model.model.description,
        task_type=model.model.task_type,
        has_data=model.end is not None,
        max_severity=max((s for s in Severity if alerts[s]), key=lambda severity: severity.rank, default=None),
        versions=[
            AvailableVersion(
                id=version.version.id,
                model_id=model.model.id,
                name=version.version.name,
                start_time=int((version.version.earliest or DISTANT_FUTURE).timestamp()),
                end_time=int((version.version.watermark or EPOCH).timestamp()),
            )
            for version in model.versions
        ],
        members=[ModelMemberView(id=member.user_id, notify=member.notify) for member in model.members],
        severities_count=alerts,
    )


def epoch(time: datetime | None) -> int | None:
    """Return a time in epoch seconds, rounded down."""
    return None if time is None else int(time.timestamp())


@router.get("/models/data-ingestion")
def data_ingestion(
    access: Reader, time_filter: TimeFilter = DAY, end_time: Time | None = None
) -> dict[int, list[DataIngestion]]:
    """Count the rows and labels of each model over time.

    By quarter hour if time_filter is 3600, by hour if it is 86400, else by day, in UTC. end_time: the newest sample of
    the models. Models whose samples end before are left out.
    """
    with access.session() as session:
        return _data_ingestion(session, overview.of_models(session, with_rows=False), time_filter, end_time)


@router.get("/models/{identifier}/data-ingestion")
def data_ingestion_of_model(
    access: Reader,
    identifier: str,
    identifier_kind: IdentifierKind | None = None,
    time_filter: TimeFilter = DAY,
    end_time: Time | None = None,
) -> dict[int, list[DataIngestion]]:
    """Count the rows and labels of one model over time, as `models/data-ingestion` does."""
    with access.session() as session:
        model = resolve(session, identifier, identifier_kind)
        return _data_ingestion(session, overview.of_models(session, [model.id], with_rows=False), time_filter, end_time)


def _data_ingestion(
    session: Session, models: Iterable[ModelOverview], time_filter: int, end_time: datetime | None
) -> dict[int, list[DataIngestion]]:
    ends = {model.model.id: model.end for model in models if model.end is not None}
    if not ends:
        return {}
    end = end_time or max(ends.values())
    span = Window(max(end, EPOCH + timedelta(seconds=time_filter)) - timedelta(seconds=time_filter), max(end, EPOCH))
    unit = {HOUR: BucketUnit.QUARTER_HOUR, DAY: BucketUnit.HOUR}.get(time_filter, BucketUnit.DAY)
    ids = [model_id for model_id, last in ends.items() if last >= span.start]
    counts: dict[int, list[DataIngestion]] = {model_id: [] for model_id in ids}
    for bucket in sample_counts.buckets(session, span, unit, ids):
        counts[bucket.model_id].append(
            DataIngestion(count=bucket.rows, label_count=bucket.labels, timestamp=int(bucket.start.timestamp()))
        )
    return counts


@router.get("/models/{identifier}/auto-frequency")
def propose_frequency(
    access: Reader, identifier: str, identifier_kind: IdentifierKind | None = None
) -> ProposedFrequency:
    """Propose how often the model should be looked at: the calendar unit in which it regularly has samples."""
    with access.session() as session:
        model: Model = resolve(session, identifier, identifier_kind)
        proposed = auto_frequency.propose(session, model)
    start, end = proposed.span.start, proposed.span.end
    return ProposedFrequency(frequency=proposed.frequency, start=int(start.timestamp()), end=int(end.timestamp()))


@router.get("/onboarding", responses=NAMES_OBJECT)
def onboarding(access: Reader, model_name: str | None = None) -> Onboarding:
    """Show what to do next with a model, or with the one that was created last."""
    with access.session() as session:
        return Onboarding(step=overview.onboarding_step(session, model_name))


@router.get("/wait-for-queue/{version_id}")
def wait_for_queue(access: Reader, version_id: int) -> None:
    """Return at once: the response to logged rows already says what became of them."""
    with access.session() as session:
        versions.get(session, version_id)


@router.get("/wait-for-alerts/{rule_id}")
def wait_for_alerts(access: Reader, rule_id: int, amount: Annotated[int, Query(ge=0, le=10**9)] = 0) -> None:
    """Return at once: request the alerts of a rule until they are there."""
    with access.session() as session:
        rules.get(session, rule_id)
