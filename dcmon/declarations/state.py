"""Read what an organization has, as a document."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import durations, errors
from dcmon.alerting import rules
from dcmon.db import Organization
from dcmon.db.tables.org import AlertRule, Check, Model, Monitor, MuteTime, Version
from dcmon.declarations import declared_monitors, stored_receivers
from dcmon.declarations.declared_holds import MuteTimeDeclaration, SilenceDeclaration, days_text, hours_text
from dcmon.declarations.declared_models import CheckDeclaration, ModelDeclaration, VersionDeclaration
from dcmon.declarations.declared_monitors import MonitorDeclaration, RuleDeclaration
from dcmon.declarations.document import Document, OrganizationDeclaration, RetentionDeclaration
from dcmon.declarations.values import own_term_text, term_text, time_text
from dcmon.monitoring import monitors
from dcmon.notifications import matchers, mute_times, silences
from dcmon.storage import models
from dcmon.tenancy import organizations


@dataclass(frozen=True)
class State:
    """What an organization has. The ids are those of the rules of a monitor, and of the silences, in their order.

    `model_names`: of all models, also of those that were not read.
    """

    document: Document
    rule_ids: Mapping[tuple[str, str], Sequence[int]] = field(default_factory=dict)
    silence_ids: Sequence[int] = ()
    model_names: Sequence[str] = ()


@dataclass(frozen=True)
class Scope:
    """What to read. `models`: names; None: all. `has_others`: also what belongs to no model."""

    models: Collection[str] | None = None
    has_others: bool = True


def read_settings(public: Session, org: Organization) -> OrganizationDeclaration:
    """Return the settings of an organization."""
    terms = organizations.terms(public, org)
    return OrganizationDeclaration(
        retention=RetentionDeclaration(samples=term_text(terms.samples), results=term_text(terms.results)),
        default_monitors=organizations.default_monitors(public, org).value,
    )


def read(session: Session, scope: Scope, settings: OrganizationDeclaration | None, now: datetime) -> State:
    """Return what an organization has. Raises Conflict if two monitors of a model have one name."""
    rule_ids: dict[tuple[str, str], list[int]] = {}
    existing = models.entries(session)
    names = [model.name for model in existing]
    known = {
        model.name: _model(session, model, rule_ids)
        for model in existing
        if scope.models is None or model.name in scope.models
    }
    if not scope.has_others:
        return State(Document.model_construct(models=known), rule_ids, model_names=names)
    held = _silences(session, now)
    document = Document.model_construct(
        organization=settings,
        models=known,
        receivers=stored_receivers.read(session),
        mute_times={mute.name: _mute_time(mute) for mute in mute_times.entries(session)},
        silences=[silence for _, silence in held],
    )
    return State(document, rule_ids, [silence_id for silence_id, _ in held], names)


def _model(session: Session, model: Model, rule_ids: dict[tuple[str, str], list[int]]) -> ModelDeclaration:
    of_model = session.scalars(select(Version).where(Version.model_id == model.id).order_by(Version.id))
    checks = list(session.scalars(select(Check).where(Check.model_id == model.id)))
    values = {
        "renamed_from": None, "task": model.task_type, "description": model.description, "time_zone": model.time_zone,
        "label_ratio": model.label_ratio, "label_delay": durations.to_text(model.label_delay),
        "lateness": durations.to_text(model.lateness), "retention": own_term_text(model.retention),
        "default_monitors": model.default_monitors,
        "versions": {version.name: _version(version) for version in of_model},
        "checks": {check.name: _check(check) for check in checks},
        "monitors": _monitors(session, model, {check.id: check.name for check in checks}, rule_ids),
    }  # fmt: skip
    return ModelDeclaration.model_construct(**values)  # type: ignore[arg-type]


def _version(version: Version) -> VersionDeclaration:
    return VersionDeclaration.model_construct(
        renamed_from=None, features=version.features, additional=version.additional or None, classes=version.classes,
        feature_importance=version.feature_importance, label_map=version.label_map, file_columns=version.file_columns,
    )  # fmt: skip


def _check(check: Check) -> CheckDeclaration:
    return CheckDeclaration.model_construct(
        class_=check.class_name, module=check.module_name, parameters=dict(check.params)
    )


def _monitors(
    session: Session, model: Model, checks: Mapping[int, str], rule_ids: dict[tuple[str, str], list[int]]
) -> dict[str, MonitorDeclaration]:
    statement = select(Monitor).join(Check).where(Check.model_id == model.id).order_by(Monitor.id)
    stored, declared = session.scalars(statement).all(), dict[str, MonitorDeclaration]()
    of_model = select(AlertRule).join(Monitor).join(Check).where(Check.model_id == model.id).order_by(AlertRule.id)
    by_monitor: dict[int, list[AlertRule]] = {}
    for rule in session.scalars(of_model):
        by_monitor.setdefault(rule.monitor_id, []).append(rule)
    for monitor in stored:
        if monitor.name in declared:
            ids = " and ".join(str(other.id) for other in stored if other.name == monitor.name)
            raise errors.Conflict(
                f"Model {model.name!r} has several monitors {monitor.name!r} ({ids}), and files name monitors. Rename"
                f' one: dcmon monitor set {monitor.id} --name "{monitor.name} 2"'
            )
        of_monitor = by_monitor.get(monitor.id, [])
        rule_ids[model.name, monitor.name] = [rule.id for rule in of_monitor]
        declared[monitor.name] = declared_monitors.of_spec(
            monitors.current_spec(monitor), checks[monitor.check_id], [of_rule(rule) for rule in of_monitor]
        )
    return declared


def of_rule(rule: AlertRule) -> RuleDeclaration:
    """Return the declaration of a rule that exists."""
    values = {
        "name": rule.name, "condition": rules.condition_text(rule), "severity": rule.severity,
        "warn_severity": rule.warn_severity, "for_windows": rule.for_windows, "keep_firing": rule.keep_firing,
        "min_n": rule.min_n, "no_data": rule.no_data, "on_error": rule.on_error, "inhibit": rule.is_inhibited,
        "active": rule.is_active, "counts": rule.ingestion_type,
    }  # fmt: skip
    return RuleDeclaration.model_construct(**values)  # type: ignore[arg-type]


def _mute_time(mute: MuteTime) -> MuteTimeDeclaration:
    return MuteTimeDeclaration.model_construct(
        renamed_from=None, hours=hours_text(mute.begins, mute.ends), days=days_text(mute.days),
        time_zone=mute.time_zone, matchers=list(mute.matchers),
    )  # fmt: skip


def _silences(session: Session, now: datetime) -> list[tuple[int, SilenceDeclaration]]:
    """Return the silences that hold now or later, without those of one alert, whose id no other organization has."""
    declared = [
        (
            silence.id,
            SilenceDeclaration.model_construct(
                matchers=list(silence.matchers), from_=time_text(silence.starts_at), until=time_text(silence.ends_at),
                reason=silence.reason, by=silence.by,
            ),
        )
        for silence in silences.entries(session, now)
        if not any(_names_an_id(matcher) for matcher in silence.matchers)
    ]  # fmt: skip
    return sorted(declared, key=lambda entry: (entry[1].from_, entry[1].until, entry[1].matchers, entry[1].reason))


def _names_an_id(text: str) -> bool:
    matcher = matchers.parse(text)
    return matcher.label == "alert" or (matcher.label == "rule" and matcher.value.isdigit())
