"""What `model create` finds where a model exists: what to ask before a version is added, and what a version has."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import select

from dcmon.db.tables.org import Model
from dcmon.formatting import count_of
from dcmon.ingestion import sample_counts
from dcmon.storage import models, references, versions

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.commands.shared.model_options import TypedModel
    from dcmon.db.tables.org import Version

MOST = 6  # columns that a sentence names


class Stored(NamedTuple):
    """How many rows a version has, of samples and of its reference."""

    samples: int
    reference: int


def stored(app: "App", version_id: int) -> Stored:
    """Count the rows of a version."""
    with app.org() as session:
        _, version = versions.get(session, version_id)
        return Stored(sample_counts.count(session, version), references.count(session, version))


def question(app: "App", typed: "TypedModel") -> str | None:
    """Return a question that names the difference of columns; None if no version is added to an existing one."""
    with app.org() as session:
        model = session.scalar(select(Model).where(Model.name == typed.name))
        known = [] if model is None else versions.entries(session, model)
        if typed.version is None or not known or typed.version in {version.name for version in known}:
            return None
        last = max(known, key=lambda version: version.id)
        return (
            f"Model {typed.name!r} exists already, with {count_of(len(known), 'version')}. Compared with {last.name!r},"
            f" version {typed.version!r} {_difference(last, typed)}. Add the version?"
        )


def exists(app: "App", name: str | None) -> bool:
    """Return True if there is a model of that name."""
    with app.org() as session:
        return name is not None and models.exists(session, name)


def lacks_reference(app: "App", typed: "TypedModel") -> bool:
    """Return True if a model has the typed version, and no reference of it."""
    with app.org() as session:
        model = session.scalar(select(Model).where(Model.name == typed.name))
        known = [] if model is None else versions.entries(session, model)
        return any(version.name == typed.version and not references.count(session, version) for version in known)


def _difference(last: "Version", typed: "TypedModel") -> str:
    old, new = {**last.additional, **last.features}, {**typed.additional, **typed.features}
    changed = {name: f"{name} ({old[name]}, now {kind})" for name, kind in new.items() if old.get(name, kind) != kind}
    parts = {
        "lacks": _named({name: name for name in old if name not in new}),
        "adds": _named({name: name for name in new if name not in old}),
        "changes the type of": _named(changed),
    }
    return " and ".join(f"{verb} {names}" for verb, names in parts.items() if names) or "has the same columns"


def _named(columns: Mapping[str, str]) -> str:
    """Return the texts of columns, of many only the first."""
    shown = ", ".join(list(columns.values())[:MOST])
    return f"{shown} and {len(columns) - MOST} more" if len(columns) > MOST else shown
