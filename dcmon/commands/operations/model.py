"""Create models, and change their default monitors and when their windows are evaluated."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dcmon import durations
from dcmon.alerting.change_context import Actor
from dcmon.commands.operations import reference
from dcmon.commands.shared.arguments import operator_name
from dcmon.db import work_queue
from dcmon.ingestion.files import model_path, store_keys
from dcmon.monitoring import default_sets, lifecycle
from dcmon.states import DefaultSet
from dcmon.storage import models, versions
from dcmon.tenancy import members, organizations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dcmon.app import App
    from dcmon.commands.operations.reference import ReferenceFile
    from dcmon.db import Organization
    from dcmon.monitoring.lifecycle import ModelTiming
    from dcmon.storage.models import NewModel
    from dcmon.storage.versions import NewVersion
    from dcmon.windows import Frequency


def create(
    app: "App",
    new: "NewModel",
    version: "NewVersion | None",
    frequency: "Frequency",
    chosen: "DefaultSet | None",
    reference_file: "ReferenceFile | None" = None,
) -> dict[str, Any]:
    """Create a model with default monitors, and optionally a version with a reference, in one transaction.

    `chosen`: which default monitors; None: those that were chosen for the model, or else for the organization.
    The row has "reference" if a file was named: the number of its rows, None if the version had a reference already.
    """
    row: dict[str, Any] = {"name": new.name}
    org = app.organization()
    with app.public() as session:
        chosen_by_organization = organizations.default_monitors(session, org)
        new = replace(new, members=members.administrators(session, org.id))
    with app.org(org) as session:
        is_new = not models.exists(session, new.name)
        model = models.create(session, new)
        chosen = chosen or DefaultSet(model.default_monitors or chosen_by_organization)
        changed = default_sets.choose(session, _actor(app, org), model, chosen, frequency)
        row |= {"id": model.id, "created": is_new, "monitors": changed.monitors}
        if version is not None:
            created = versions.create(session, model, version)
            model_path.watch_created(session, model, created)
            row |= {"version": version.name, "version_id": created.id}
            if reference_file is not None:
                loaded = reference.load_first(app, session, model, created, reference_file)
                row["reference"] = None if loaded is None else loaded.stored
    if row.get("reference"):
        app.enqueue(org, work_queue.Work.evaluate)
    return row


def set_defaults(
    app: "App", names: "Sequence[str]", chosen: "DefaultSet", frequency: "Frequency | None"
) -> list[dict[str, Any]]:
    """Choose which default monitors models have; without names: all models. Return a row for each model.

    Each model is changed in a transaction of its own. Raises ModelNotFound, before a model is changed.
    """
    org = app.organization()
    with app.org(org) as session:
        chosen_models = [models.find(session, name) for name in names] if names else models.entries(session)
        model_ids = list(dict.fromkeys(model.id for model in chosen_models))
    rows = []
    for model_id in model_ids:
        with app.org(org) as session:
            model = models.get(session, model_id)
            changed = default_sets.choose(session, _actor(app, org), model, chosen, frequency)
            rows.append(
                {
                    "name": model.name, "default_monitors": chosen, "monitors_created": changed.monitors,
                    "rules_on": changed.rules_on, "rules_off": changed.rules_off,
                    "rules_renewed": changed.rules_renewed,
                }
            )  # fmt: skip
    app.enqueue(org, work_queue.Work.evaluate, work_queue.Work.notify)
    return rows


def set_path(app: "App", name: str, path: str | None) -> dict[str, Any]:
    """Set the object store path of a model, and watch it; None: no path. Raises ModelNotFound or InvalidInput."""
    with app.org() as session:
        model = models.find(session, name)
        changed = model_path.set_path(session, model, path)
        return {
            "name": name, "path": path, "sources": changed.added, "removed": changed.removed,
            "has_keys": bool(store_keys.entries(session)),
        }  # fmt: skip


def _actor(app: "App", org: "Organization") -> Actor:
    return Actor.from_settings(org, operator_name(), app.settings)


def change(app: "App", name: str, timing: "ModelTiming") -> dict[str, Any]:
    """Change when a model's windows are evaluated, and enqueue the windows due now. Raises ModelNotFound."""
    org = app.organization()
    with app.org(org) as session:
        model = models.find(session, name)
        windows_due = lifecycle.change_model(session, org, model, timing, app.settings.url)
        row = {
            "name": name, "time_zone": model.time_zone, "lateness": durations.to_text(model.lateness),
            "label_ratio": model.label_ratio, "label_delay": durations.to_text(model.label_delay),
            "windows_due": windows_due,
        }  # fmt: skip
    app.enqueue(org, work_queue.Work.evaluate, work_queue.Work.notify)
    return row
