"""Models: the machine-learning models that dcmon watches. A name is created once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dcmon import durations, errors, text, windows
from dcmon.db.tables.org import Model, ModelMember, ModelNote
from dcmon.states import TaskType
from dcmon.storage import sample_tables

MAX_NAME_LENGTH = 100
DEFAULT_LABEL_DELAY = timedelta(days=3)


@dataclass(frozen=True)
class NewModel:
    """The properties of a model to create. `members`: the ids of the users who become members of it."""

    name: str
    task_type: str
    description: str | None = None
    label_ratio: float = 1.0
    label_delay: timedelta = DEFAULT_LABEL_DELAY
    time_zone: str = "UTC"
    obj_store_path: str | None = None
    notes: Sequence[Mapping[str, Any]] = ()
    members: Sequence[int] = ()


def exists(session: Session, name: str) -> bool:
    """Return True if there is a model of that name."""
    return session.scalar(select(Model.id).where(Model.name == name)) is not None


def create(session: Session, new: NewModel) -> Model:
    """Create a model with its tables, or return the existing model of that name.

    Raises InvalidInput, or Conflict when the existing model has another task type or description.
    """
    require_valid(new)
    sample_tables.lock_naming(session, "models")
    existing = session.scalar(select(Model).where(Model.name == new.name))
    if existing is not None:
        _require_same(existing, new)
        return existing
    model = Model(
        name=new.name,
        task_type=new.task_type,
        description=new.description,
        label_ratio=new.label_ratio,
        label_delay=new.label_delay,
        time_zone=new.time_zone,
        lateness=timedelta(),
        obj_store_path=new.obj_store_path,
        relation=sample_tables.next_relation(session),
    )
    session.add(model)
    try:
        session.flush()
    except IntegrityError as error:  # the existing model is hidden from the user (db.visible_models)
        raise errors.Conflict(f"Another model has the name {new.name[:60]!r}. Choose another name.") from error
    session.add_all(ModelMember(model_id=model.id, user_id=user_id) for user_id in sorted(set(new.members)))
    sample_tables.create_model_tables(session, model)
    add_notes(session, model, new.notes)
    return model


def create_new(session: Session, new: NewModel) -> Model:
    """Create a model with its tables. Raises InvalidInput, or Conflict when the name is taken."""
    sample_tables.lock_naming(session, "models")
    if session.scalar(select(Model.id).where(Model.name == new.name)) is not None:
        raise errors.Conflict(f"Another model has the name {new.name[:60]!r}. Choose another name.")
    return create(session, new)


def require_valid(new: NewModel) -> None:
    """Raise InvalidInput if a model can't be like this."""
    text.require_storable(new.name)
    if not new.name.strip() or len(new.name) > MAX_NAME_LENGTH:
        raise errors.InvalidInput(
            f"A model's name has 1 to {MAX_NAME_LENGTH} characters; {new.name[:20]!r} has {len(new.name)}."
        )
    if new.task_type not in tuple(TaskType):
        raise errors.UnknownChoice("task", new.task_type, TaskType)
    if not 0 <= new.label_ratio <= 1:
        raise errors.InvalidInput(f"The label ratio is a share from 0 to 1, not {new.label_ratio}.")
    if not timedelta() <= new.label_delay <= durations.MAX_DURATION:
        raise errors.InvalidInput("The label delay is at least 0 and at most 36500 days.")
    windows.time_zone(new.time_zone)


def _require_same(existing: Model, new: NewModel) -> None:
    advice = f'"dcmon model show {new.name}" shows it. Choose another name.'
    if existing.task_type != new.task_type:
        raise errors.Conflict(f"Model {new.name!r} already exists, with task type {existing.task_type}. {advice}")
    if new.description is not None and existing.description != new.description:
        raise errors.Conflict(f"Model {new.name!r} already exists, with another description. {advice}")


def entries(session: Session) -> list[Model]:
    """Return all models, by name."""
    return list(session.scalars(select(Model).order_by(Model.name)))


def find(session: Session, name: str) -> Model:
    """Return the model of that name. Raises ModelNotFound."""
    model = session.scalar(select(Model).where(Model.name == name))
    if model is None:
        raise errors.ModelNotFound(name=name, known=session.scalars(select(Model.name)))
    return model


def find_or_only(session: Session, name: str | None) -> Model:
    """Return the model of that name; None: that of an organization with only one.

    Raises ModelNotFound or InvalidInput.
    """
    if name is not None:
        return find(session, name)
    names = list(session.scalars(select(Model.name).order_by(Model.name).limit(6)))
    if not names:
        raise errors.InvalidInput('There is no model yet: "dcmon model create" creates one.')
    if len(names) > 1:
        more = " and more" if len(names) > 5 else ""
        raise errors.InvalidInput(f"There are several models ({', '.join(names[:5])}{more}): choose one with --model.")
    return find(session, names[0])


def get(session: Session, model_id: int) -> Model:
    """Return the model of that id. Raises NotFound."""
    model = session.get(Model, model_id)
    if model is None:
        raise errors.ModelNotFound(name=model_id)
    return model


def rename(session: Session, model: Model, name: str) -> None:
    """Give a model another name. Clients that know its id go on unchanged. Raises InvalidInput or Conflict."""
    require_valid(NewModel(name, model.task_type))
    sample_tables.lock_naming(session, "models")
    if session.scalar(select(Model.id).where(Model.name == name, Model.id != model.id)) is not None:
        raise errors.Conflict(f"Another model has the name {name[:60]!r}. Choose another name.")
    model.name = name
    try:
        session.flush()
    except IntegrityError as error:  # a model that is hidden from the user
        raise errors.Conflict(f"Another model has the name {name[:60]!r}. Choose another name.") from error


def set_retention(session: Session, model: Model, term: timedelta | None) -> None:
    """Set how long the model's samples are kept; None: the term of its organization."""
    model.retention = term
    session.flush()


def add_notes(session: Session, model: Model, notes: Sequence[Mapping[str, Any]]) -> list[ModelNote]:
    """Add notes to a model, and return them; each has a title and may have a text."""
    added = []
    for note in notes:
        added.append(ModelNote(model_id=model.id, title=note["title"], text=note.get("text")))
        session.add(added[-1])
        session.flush()  # one after the other, so that their ids are in this order
    return added


def notes(session: Session, model: Model) -> list[ModelNote]:
    """Return the notes of a model, oldest first."""
    return list(session.scalars(select(ModelNote).where(ModelNote.model_id == model.id).order_by(ModelNote.id)))


def delete_note(session: Session, note_id: int) -> None:
    """Delete a note. Raises NotFound."""
    note = session.get(ModelNote, note_id)
    if note is None:
        raise errors.NotFound(what="note", name=note_id)
    session.delete(note)
    session.flush()
