"""Sources of a model's object store path, in the layout of the old system.

Samples of a version are in <path>/<name of the version>/, labels of the model in <path>/labels/.
"""

import glob
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.org import DataSource, Model, Version
from dcmon.formatting import without_password
from dcmon.ingestion.files import sources
from dcmon.ingestion.files.sources import MAX_NAME_LENGTH, NewSource
from dcmon.states import RowKind
from dcmon.storage import versions

LABELS = "labels"
MAX_LENGTH = 2000
NOT_S3 = "obj_store_path is kept, but no files are read because of it: it is no URL like s3://bucket/prefix."


class PathSources(NamedTuple):
    """The names of sources that were added and removed."""

    added: Sequence[str]
    removed: Sequence[str]


def base_url(path: str | None) -> str | None:
    """Return s3://bucket/prefix without a slash at its end; None if the path is of another kind.

    Wildcards in it are escaped: in a path they are letters. Raises InvalidInput for a path with a user or password.
    """
    if path is None:
        return None
    if without_password(path) != path:
        raise errors.InvalidInput(
            "obj_store_path can't have a user or password: it is shown. Set the keys by themselves."
        )
    try:
        parts = urlsplit(path)
    except ValueError:
        return None
    if parts.scheme.lower() != "s3" or not parts.netloc:
        return None
    return f"s3://{parts.netloc}{glob.escape(parts.path.rstrip('/'))}"


def set_path(session: Session, model: Model, path: str | None) -> PathSources:
    """Set the object store path of a model, and watch it in place of the former one. None: watch none.

    Raises InvalidInput if it is no path of S3.
    """
    if path is not None and (base_url(path) is None or len(path) > MAX_LENGTH):
        raise errors.InvalidInput(f"{path[:60]!r} is no URL like s3://bucket/prefix.")
    model.obj_store_path = path
    wanted = {url for _, url in _locations(session, model)}
    removed = []
    for source in _of_path(session, model):
        if source.url not in wanted:
            sources.remove(session, source)
            removed.append(source.name)
    return PathSources([source.name for source in watch(session, model)], removed)


def watch_created(session: Session, model: Model, version: Version | None = None) -> None:
    """Watch the path of a model, or of a version, that this transaction has created.

    Clients create models and versions again at each start: a source that an operator deleted does not come back by it.
    """
    table, created = (Model, model) if version is None else (Version, version)
    if session.scalar(select(table.created_at == func.now()).where(table.id == created.id)):  # now() of its begin
        watch(session, model, version)


def watch(session: Session, model: Model, version: Version | None = None) -> list[DataSource]:
    """Add the missing sources of a model's path; with a version, only that of its samples. Return the added ones."""
    existing = {source.url for source in _of_path(session, model)}
    added = []
    for owner, url in _locations(session, model):
        if url in existing or (version is not None and (owner is None or owner.id != version.id)):
            continue
        kind = RowKind.LABELS if owner is None else RowKind.SAMPLES
        name = _free_name(session, f"{model.name}/{LABELS if owner is None else owner.name}")
        version_id = None if owner is None else owner.id
        added.append(sources.add(session, NewSource(name, url, kind, model.id, version_id, {}, is_of_path=True)))
    return added


def watch_unwatched(session: Session) -> list[DataSource]:
    """Add the sources of all models that have a path and no source of it, as those of earlier releases have none."""
    watched = select(DataSource.model_id).where(DataSource.is_of_path)
    waiting = select(Model).where(Model.obj_store_path.is_not(None), Model.id.not_in(watched)).order_by(Model.id)
    return [source for model in session.scalars(waiting).all() for source in watch(session, model)]


def _locations(session: Session, model: Model) -> list[tuple[Version | None, str]]:
    """Return the URLs of a model's labels (None) and of its versions.

    The samples of a version "labels" would be in the folder of the labels, so it has no location.
    """
    base = base_url(model.obj_store_path)
    if base is None:
        return []
    named = [version for version in versions.entries(session, model) if version.name != LABELS]
    of_versions = [(version, f"{base}/{glob.escape(version.name)}/") for version in named]
    return [(None, f"{base}/{LABELS}/"), *of_versions]


def _of_path(session: Session, model: Model) -> list[DataSource]:
    statement = select(DataSource).where(DataSource.model_id == model.id, DataSource.is_of_path)
    return list(session.scalars(statement.order_by(DataSource.id)))


def _free_name(session: Session, wanted: str) -> str:
    """Return a name that no source has: the wanted one, or with a number after it."""
    name, number = wanted[:MAX_NAME_LENGTH], 1
    while session.scalar(select(DataSource.id).where(DataSource.name == name)) is not None:
        number += 1
        ending = f" {number}"
        name = wanted[: MAX_NAME_LENGTH - len(ending)] + ending
    return name
