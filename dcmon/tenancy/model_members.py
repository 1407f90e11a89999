"""Members of models: who sees a model where an organization shows models to their members only."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.org import Model, ModelMember


class ModelMemberView(NamedTuple):
    """A member of a model. `id`: of the user."""

    id: int
    notify: bool


def by_model(session: Session) -> dict[int, list[ModelMemberView]]:
    """Return the members of all models that have some, by the model's id."""
    members: dict[int, list[ModelMemberView]] = {}
    for member in session.scalars(select(ModelMember).order_by(ModelMember.model_id, ModelMember.user_id)):
        members.setdefault(member.model_id, []).append(ModelMemberView(member.user_id, member.notify))
    return members


def set_members(session: Session, model_id: int, user_ids: Collection[int], *, replace: bool) -> None:
    """Make users members of a model. With `replace`, all others are none any more; who was one keeps `notify`.

    The caller checks that the users are members of the organization. Raises ModelNotFound.
    """
    if session.scalar(select(Model.id).where(Model.id == model_id).with_for_update(key_share=True)) is None:
        raise errors.ModelNotFound(name=model_id)
    if replace:
        others = ModelMember.user_id.not_in(user_ids)
        session.execute(delete(ModelMember).where(ModelMember.model_id == model_id, others))
    if user_ids:
        rows = [{"model_id": model_id, "user_id": user_id} for user_id in sorted(set(user_ids))]
        session.execute(insert(ModelMember).on_conflict_do_nothing(), rows)


def set_models(session: Session, user_id: int, notify: Mapping[int, bool], *, replace: bool) -> None:
    """Make a user a member of models, each with its `notify`. With `replace`, of no others. Raises ModelNotFound."""
    known = set(session.scalars(select(Model.id).where(Model.id.in_(notify)).with_for_update(key_share=True)))
    for model_id in notify:
        if model_id not in known:
            raise errors.ModelNotFound(name=model_id)
    if replace:
        others = ModelMember.model_id.not_in(known)
        session.execute(delete(ModelMember).where(ModelMember.user_id == user_id, others))
    for model_id, is_notified in sorted(notify.items()):
        values = {"model_id": model_id, "user_id": user_id, "notify": is_notified}
        upsert = insert(ModelMember).values(values)
        session.execute(
            upsert.on_conflict_do_update(index_elements=["model_id", "user_id"], set_={"notify": is_notified})
        )


def remove_user(session: Session, user_id: int) -> None:
    """Remove a user from all models of the organization, so that a person who is invited again sees none of them."""
    session.execute(delete(ModelMember).where(ModelMember.user_id == user_id))
