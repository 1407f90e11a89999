"""Apply changes of an organization's settings, and of models, versions and checks."""

from typing import cast

from sqlalchemy import select

from dcmon import durations
from dcmon.db.tables.org import Model, Monitor
from dcmon.declarations import cross_checks
from dcmon.declarations.applying_context import Context, Effects
from dcmon.declarations.changes import Change
from dcmon.declarations.declared_models import CheckDeclaration, ModelDeclaration, VersionDeclaration
from dcmon.declarations.document import OrganizationDeclaration
from dcmon.declarations.values import INHERIT
from dcmon.monitoring import default_sets, lifecycle, model_checks
from dcmon.monitoring.lifecycle import ModelTiming, VersionEdit
from dcmon.states import DefaultSet
from dcmon.storage import models, versions
from dcmon.storage.models import DEFAULT_LABEL_DELAY, NewModel
from dcmon.tenancy import organizations, retention
from dcmon.windows import Frequency


class SettingsKind:
    """The settings of the organization, which always exist."""

    def create(self, context: Context, change: Change) -> Effects:
        """Never needed."""
        raise NotImplementedError

    def change(self, context: Context, change: Change) -> Effects:
        """Set retention terms, and the default monitors of new models."""
        declared = cast(OrganizationDeclaration, change.declared)
        terms = organizations.terms(context.public, context.org)
        samples, results = terms
        if declared.retention is not None and declared.retention.samples is not None:
            samples = retention.parse(declared.retention.samples)
        if declared.retention is not None and declared.retention.results is not None:
            results = retention.parse(declared.retention.results)
        if (samples, results) != tuple(terms):
            organizations.set_terms(context.public, context.org, samples, results)
        if declared.default_monitors is not None:
            organizations.set_default_monitors(context.public, context.org, DefaultSet(declared.default_monitors))
        return {}

    def delete(self, context: Context, change: Change) -> Effects:
        """Never planned."""
        raise NotImplementedError


class ModelKind:
    """Models. They are never pruned, because their samples would be lost."""

    def create(self, context: Context, change: Change) -> Effects:
        """Create a model, with default monitors unless the document declares its monitors."""
        declared, session = cast(ModelDeclaration, change.declared), context.session
        new = NewModel(
            change.path[-1], declared.task or "", declared.description,
            1.0 if declared.label_ratio is None else declared.label_ratio,
            DEFAULT_LABEL_DELAY if declared.label_delay is None else durations.parse(declared.label_delay),
            declared.time_zone or "UTC", members=list(context.administrators),
        )  # fmt: skip
        model = models.create(session, new)
        if declared.lateness is not None:
            model.lateness = durations.parse(declared.lateness)
        if declared.retention is not None:
            _set_retention(context, model, declared.retention)
        return self._choose_defaults(context, model, declared)

    def change(self, context: Context, change: Change) -> Effects:
        """Rename a model, and change its settings."""
        declared, session = cast(ModelDeclaration, change.declared), context.session
        model = context.model(change.former or change.path[-1])
        effects: dict[str, int] = {}
        if change.former is not None:
            models.rename(session, model, change.path[-1])
        if change.has("description"):
            model.description = declared.description
        if change.has("time_zone", "lateness", "label_ratio", "label_delay"):
            lateness, delay = declared.lateness, declared.label_delay
            timing = ModelTiming(
                declared.time_zone, None if lateness is None else durations.parse(lateness), declared.label_ratio,
                None if delay is None else durations.parse(delay),
            )  # fmt: skip
            open_before = _open_alerts(context, model)
            windows = lifecycle.change_model(session, context.org, model, timing, context.actor.public_url)
            effects |= {"windows due": windows, "alerts ended": open_before - _open_alerts(context, model)}
        if change.has("retention") and declared.retention is not None:
            _set_retention(context, model, declared.retention)
        if change.has("default_monitors"):
            effects |= self._choose_defaults(context, model, declared)
        session.flush()
        return effects

    def delete(self, context: Context, change: Change) -> Effects:
        """Never planned."""
        raise NotImplementedError

    @staticmethod
    def _choose_defaults(context: Context, model: Model, declared: ModelDeclaration) -> Effects:
        session, chosen = context.session, declared.default_monitors
        if declared.monitors is not None:
            if chosen is not None:
                default_sets.record(session, model, DefaultSet(chosen))
            return {}
        of_organization = organizations.default_monitors(context.public, context.org)
        wanted = of_organization if chosen is None else DefaultSet(chosen)
        changed = default_sets.choose(session, context.actor, model, wanted, _usual_frequency(model))
        return {
            "default monitors created": changed.monitors, "default rules turned on": changed.rules_on,
            "default rules turned off": changed.rules_off,
        }  # fmt: skip


def _usual_frequency(model: Model) -> Frequency | None:
    """Return the frequency of the default monitors of a new model; None: that which its monitors have."""
    return None if model.default_monitors else Frequency.DAY


def _set_retention(context: Context, model: Model, text: str) -> None:
    own = None if text == INHERIT else retention.parse(text) or retention.FOR_EVER
    models.set_retention(context.session, model, own)


def _open_alerts(context: Context, model: Model) -> int:
    of_model = [check.id for check in model_checks.for_model(context.session, model)]
    return context.open_alerts(Monitor.check_id.in_(of_model))


class VersionKind:
    """Versions. Their columns never change, and they are never pruned, because their samples would be lost."""

    def create(self, context: Context, change: Change) -> Effects:
        """Create a version."""
        declared = cast(VersionDeclaration, change.declared)
        versions.create(
            context.session, context.model(change.path[0]), cross_checks.new_version(change.path[-1], declared)
        )
        return {}

    def change(self, context: Context, change: Change) -> Effects:
        """Rename a version, and set the importance of its features."""
        declared, session = cast(VersionDeclaration, change.declared), context.session
        model = context.model(change.path[0])
        version = versions.find(session, model, change.former or change.path[-1])
        importance = declared.feature_importance if change.has("feature_importance") else None
        edit = VersionEdit(change.path[-1] if change.former is not None else None, importance, context.actor.public_url)
        open_before = _open_alerts(context, model)
        windows = lifecycle.change_version(session, context.org, version, edit)
        return {"windows due": windows, "alerts ended": open_before - _open_alerts(context, model)}

    def delete(self, context: Context, change: Change) -> Effects:
        """Never planned."""
        raise NotImplementedError


class CheckKind:
    """Checks of models."""

    def create(self, context: Context, change: Change) -> Effects:
        """Add a check to a model."""
        declared = cast(CheckDeclaration, change.declared)
        kind = declared.kind()
        module = declared.module or kind.module_name
        model = context.model(change.path[0])
        model_checks.create_check(context.session, model, change.path[-1], module, kind.class_name, declared.parameters)
        return {}

    def change(self, context: Context, change: Change) -> Effects:
        """Change the parameters of a check: all its monitors begin a new revision."""
        declared = cast(CheckDeclaration, change.declared)
        check = model_checks.resolve(context.session, context.model(change.path[0]), change.path[-1], is_name=True)
        open_before = context.open_alerts(Monitor.check_id == check.id)
        windows = lifecycle.change_check(
            context.session, context.org, check, declared.parameters, context.actor.public_url
        )
        ended = open_before - context.open_alerts(Monitor.check_id == check.id)
        return {"windows due": windows, "alerts ended": ended}

    def delete(self, context: Context, change: Change) -> Effects:
        """Delete a check, with monitors that still run it."""
        model = context.model(change.path[0])
        check = model_checks.resolve(context.session, model, change.path[-1], is_name=True)
        deleted = len(context.session.scalars(select(Monitor.id).where(Monitor.check_id == check.id)).all())
        ended = context.open_alerts(Monitor.check_id == check.id)
        lifecycle.delete_checks(context.session, model, [check.name])
        return {"monitors deleted": deleted, "alerts ended": ended}
