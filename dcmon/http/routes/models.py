"""Routes of models and their notes."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.org import Model, ModelNote
from dcmon.db.work_queue import Work
from dcmon.http.auth import Administrator, Identifier, Reader, Writer
from dcmon.http.fields import MAX_ID, IdentifierKind
from dcmon.http.paging import Paged
from dcmon.http.responses import MAY_BE_FULL, MAY_CONFLICT
from dcmon.http.routes.names import NameRoute, require_reachable
from dcmon.ingestion.files import model_path, store_keys
from dcmon.monitoring import default_monitors, default_sets, lifecycle, model_checks
from dcmon.states import DefaultSet, TaskType
from dcmon.storage import models
from dcmon.storage.models import NewModel
from dcmon.tenancy import members, organizations
from dcmon.windows import Frequency

router = APIRouter(tags=["models"])
names = APIRouter(tags=["models"], route_class=NameRoute)
# Of the old system, except for a note.
MAX_NAME, MAX_DESCRIPTION, MAX_TITLE, MAX_TEXT = 50, 200, 1000, 100_000
PATH_NEEDS_KEYS = (
    "obj_store_path is read as soon as the organization has keys of its own: an administrator sets them with"
    ' PUT /api/v1/data-sources or "dcmon source set-keys".'
)


class Note(BaseModel):
    """A note on a model."""

    title: str = Field(max_length=MAX_TITLE)
    text: str | None = Field(None, max_length=MAX_TEXT)


class NoteView(BaseModel):
    """A note as it is stored."""

    id: str
    title: str
    text: str | None
    created_at: str
    model_id: int


class CreatedModel(BaseModel):
    """The id of a model. `warnings`: what dcmon can't do of what the request asks for; absent if there is nothing."""

    id: int
    warnings: list[str] | None = None


class ModelDetails(BaseModel):
    """A model. `defaults`: which default monitors it has; null in a model of an earlier release."""

    id: int
    name: str
    description: str | None
    task_type: TaskType
    alerts_delay_labels_ratio: float
    alerts_delay_seconds: int
    obj_store_path: str | None
    defaults: DefaultSet | None


class ModelBody(BaseModel):
    """The properties of a model to be created.

    defaults: the default monitors to create; null, as from the SDK: dcmon's own, unless its organization chose others.
    frequency: of the default monitors.
    """

    name: str = Field(min_length=1, max_length=MAX_NAME)
    task_type: TaskType
    alerts_delay_labels_ratio: float = Field(1.0, ge=0, le=1)
    alerts_delay_seconds: int = Field(259_200, ge=0, le=10**9)
    description: str | None = Field(None, max_length=MAX_DESCRIPTION)
    notes: list[Note] | None = Field(None, max_length=1000)
    obj_store_path: str | None = Field(None, max_length=2000)
    time_zone: str = "UTC"
    defaults: DefaultSet | None = None
    frequency: Frequency = Frequency.DAY


class DefaultsBody(BaseModel):
    """Which default monitors a model has. frequency: of new ones; null: that of the other default monitors."""

    defaults: DefaultSet
    frequency: Frequency | None = None


class ChangedDefaults(BaseModel):
    """The default monitors that a model has now, and what had to be changed for them."""

    defaults: DefaultSet
    monitors_created: int
    rules_on: int
    rules_off: int
    rules_renewed: int


def resolve(session: Session, identifier: str, kind: IdentifierKind | None) -> Model:
    """Return the model with an id, or (identifier_kind=name) with a name. Raises NotFound or InvalidInput."""
    if kind is IdentifierKind.NAME:
        return models.find(session, identifier)
    if not identifier.isdecimal():
        raise errors.InvalidInput(f"{identifier!r} is not a model id. For a name, add ?identifier_kind=name.")
    if len(identifier) > 10 or int(identifier) > MAX_ID:
        raise errors.ModelNotFound(name=identifier)
    return models.get(session, int(identifier))


@router.post("/models", responses=MAY_BE_FULL, response_model_exclude_none=True)
def create(access: Writer, body: ModelBody) -> CreatedModel:
    """Create a model. Return an existing one if name, task type and description are the same.

    A model without checks gets dcmon's own default monitors, beside those that the SDK adds, unless its organization
    chose other defaults. With `defaults` it gets all default monitors of that set.
    """
    require_reachable("model", body.name)
    new = NewModel(
        body.name,
        body.task_type,
        body.description,
        body.alerts_delay_labels_ratio,
        timedelta(seconds=body.alerts_delay_seconds),
        body.time_zone,
        body.obj_store_path,
        [note.model_dump() for note in body.notes or ()],
    )
    with access.app.public() as session:
        chosen = organizations.default_monitors(session, access.org)
        new = replace(new, members=[access.bearer.user_id, *members.administrators(session, access.org.id)])
    with access.session() as session:
        model = models.create(session, new)
        if body.defaults is not None:
            default_sets.choose(session, access.actor, model, body.defaults, body.frequency)
        elif model.default_monitors is None:
            model.default_monitors = chosen
            if chosen.has_own and not model_checks.for_model(session, model):
                default_monitors.create_own(session, model, body.frequency)
        created = CreatedModel(id=model.id, warnings=_watch_path(session, model))
    access.enqueue(Work.notify)
    return created


@router.put("/models/{identifier}/defaults", responses=MAY_BE_FULL, response_model=ChangedDefaults)
def change_defaults(
    access: Writer, identifier: str, body: DefaultsBody, identifier_kind: IdentifierKind | None = None
) -> dict[str, Any]:
    """Choose which default monitors and rules a model has, as `dcmon model set-defaults` does."""
    with access.session() as session:
        model = resolve(session, identifier, identifier_kind)
        changed = default_sets.choose(session, access.actor, model, body.defaults, body.frequency)
        response = {
            "defaults": body.defaults,
            "monitors_created": changed.monitors,
            "rules_on": changed.rules_on,
            "rules_off": changed.rules_off,
            "rules_renewed": changed.rules_renewed,
        }
    access.enqueue()
    access.enqueue(Work.notify)
    return response


@router.get("/models/{identifier}")
@names.get("/models/{identifier:path}", include_in_schema=False)
def show(access: Identifier, identifier: str, identifier_kind: IdentifierKind | None = None) -> ModelDetails:
    """Show a model."""
    with access.session() as session:
        model = resolve(session, identifier, identifier_kind)
        return ModelDetails(
            id=model.id,
            name=model.name,
            description=model.description,
            task_type=TaskType(model.task_type),
            alerts_delay_labels_ratio=model.label_ratio,
            alerts_delay_seconds=int(model.label_delay.total_seconds()),
            obj_store_path=model.obj_store_path,
            defaults=None if model.default_monitors is None else DefaultSet(model.default_monitors),
        )


@router.delete("/models/{identifier}", responses=MAY_CONFLICT)
@names.delete("/models/{identifier:path}", include_in_schema=False)
def delete(access: Administrator, identifier: str, identifier_kind: IdentifierKind | None = None) -> None:
    """Delete a model with its versions, rows, monitors and alerts."""
    with access.session() as session:
        lifecycle.delete_model(session, resolve(session, identifier, identifier_kind))
    access.enqueue(Work.notify)


@router.get("/models/{identifier}/notes")
def notes(
    access: Reader, identifier: str, page: Paged, identifier_kind: IdentifierKind | None = None
) -> list[NoteView]:
    """List the notes on a model, oldest first."""
    with access.session() as session:
        return [_note(note) for note in page.of(models.notes(session, resolve(session, identifier, identifier_kind)))]


@router.post("/models/{identifier}/notes")
def add_notes(
    access: Writer, identifier: str, body: list[Note], identifier_kind: IdentifierKind | None = None
) -> list[NoteView]:
    """Add notes to a model. The response has only these."""
    if not body:
        raise errors.InvalidInput("The list of notes is empty. Send at least one note.")
    with access.session() as session:
        model = resolve(session, identifier, identifier_kind)
        return [_note(note) for note in models.add_notes(session, model, [note.model_dump() for note in body])]


@router.delete("/models-notes/{note_id}")
def delete_note(access: Writer, note_id: int) -> None:
    """Delete a note."""
    with access.session() as session:
        models.delete_note(session, note_id)


def _watch_path(session: Session, model: Model) -> list[str] | None:
    """Watch the object store path of a model; return why nothing is read from there, or None."""
    if not model.obj_store_path:
        return None
    if model_path.base_url(model.obj_store_path) is None:
        return [model_path.NOT_S3]
    model_path.watch_created(session, model)
    return None if store_keys.entries(session) else [PATH_NEEDS_KEYS]


def _note(note: ModelNote) -> NoteView:
    created: datetime = note.created_at
    return NoteView(
        id=str(note.id),
        title=note.title,
        text=note.text,
        created_at=created.isoformat(),
        model_id=note.model_id,
    )
