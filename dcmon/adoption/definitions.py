"""Models, versions, checks, monitors, rules and receivers, with the ids that they have in the old system.

Programs and links that use ids work unchanged. What exists with its id already was moved by an earlier run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.adoption.old_database import OldDatabase, OldOrganization
from dcmon.adoption.summary import Summary
from dcmon.alerting import rules
from dcmon.alerting.change_context import Actor
from dcmon.alerting.rules import Change, Condition
from dcmon.db.tables.org import AlertRule, Check, Dashboard, Model, ModelMember, Monitor, Version, Webhook
from dcmon.monitoring import dashboards, ingestion_rules, model_checks, monitors
from dcmon.monitoring.ingestion_rules import IngestionType, NewIngestionRule
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.notifications import webhook_receivers
from dcmon.notifications.webhook_receivers import WebhookKind, WebhookSpec
from dcmon.settings import Webhooks
from dcmon.severity import Severity
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from dcmon.windows import Frequency

Row = Mapping[str, Any]
# What a row raises that the old system should not have: it is left out, with the reason, and the others are moved.
REFUSALS = (errors.DcmonError, ValueError, TypeError, KeyError, AttributeError, DataError, IntegrityError)


@dataclass(frozen=True)
class Definitions:
    """Moves the definitions of an organization in a transaction of its new schema."""

    old: OldDatabase
    org: OldOrganization
    session: Session
    summary: Summary

    def move_models(self) -> None:
        """Create models with their tables, notes, versions and checks."""
        notes = self.old.of(self.org, "model_notes")
        for row in self.old.of(self.org, "models"):
            self._move("models", Model, row, self._create_model(row, notes))
        for row in self.old.of(self.org, "model_versions"):
            self._move("versions", Version, row, self._create_version(row))
        for row in self.old.of(self.org, "checks"):
            self._move("checks", Check, row, self._create_check(row))

    def move_members(self, user_ids: Mapping[int, int]) -> None:
        """Make users members of models. `user_ids`: the new ids of users by their old ids."""
        for row in self.old.of(self.org, "model_members"):
            user_id, model_id = user_ids.get(row["user_id"]), row["model_id"]
            if user_id is None or self.session.get(Model, model_id) is None:
                self.summary.add("members of models", left=1, reason="the user or the model is not moved")
                continue
            if self.session.get(ModelMember, (model_id, user_id)) is None:
                self.session.add(ModelMember(model_id=model_id, user_id=user_id, notify=bool(row["notify"])))
            self.summary.add("members of models", adopted=1)
        self.session.flush()

    def move_monitors(self) -> None:
        """Create monitors and their rules: after the rows, because the last windows with rows become due."""
        pinned = {row["id"] for row in self.old.of(self.org, "dashboards")}
        for row in self.old.of(self.org, "monitors"):
            self._move("monitors", Monitor, row, self._create_monitor(row, pinned))
        for row in self.old.of(self.org, "alert_rules"):
            self._move("rules", AlertRule, row, self._create_rule(row))

    def move_receivers(self, settings: Webhooks) -> None:
        """Create the receivers of alerts."""
        for row in self.old.of(self.org, "alert_webhooks"):
            self._move("receivers", Webhook, row, self._create_receiver(row, settings))

    def move_ingestion_rules(self, actor: Actor) -> None:
        """Create the rules on the flow of rows, whose monitors are new: after all other monitors, whose ids are old."""
        existing = {rule.monitor.name for model in models.entries(self.session) for rule in self._rules_of(model)}
        for row in self.old.of(self.org, "data_ingestion_alert_rules"):
            if row["name"] in existing:
                self.summary.add("data-ingestion rules", adopted=1)
                continue
            try:
                with self.session.begin_nested():
                    ingestion_rules.create(
                        self.session, actor, models.get(self.session, row["model_id"]), _new_rule(row)
                    )
            except REFUSALS as error:
                self.summary.add("data-ingestion rules", left=1, reason=f"{row['name']!r}: {_reason(error)}")
            else:
                self.summary.add("data-ingestion rules", adopted=1)

    def _rules_of(self, model: Model) -> list[ingestion_rules.IngestionRule]:
        return ingestion_rules.entries(self.session, model)

    def _move(self, kind: str, table: Any, row: Row, create: Callable[[], object]) -> None:
        """Create an object with its old id, unless it exists; count what became of it."""
        if self.session.get(table, row["id"]) is not None:
            self.summary.add(kind, adopted=1)
            return
        set_next_id(self.session, table.__tablename__, row["id"])
        try:
            with self.session.begin_nested():
                create()
        except REFUSALS as error:
            self.summary.add(kind, left=1, reason=f"{row['name'] if 'name' in row else row['id']!r}: {_reason(error)}")
            return
        self.summary.add(kind, adopted=1)

    def _create_model(self, row: Row, notes: list[dict[str, Any]]) -> Callable[[], object]:
        of_model = [{"title": note["title"], "text": note["text"]} for note in notes if note["model_id"] == row["id"]]

        def create() -> object:
            new = NewModel(
                row["name"],
                str(row["task_type"]).lower(),
                row["description"],
                float(row["alerts_delay_labels_ratio"]),
                timedelta(seconds=row["alerts_delay_seconds"]),
                obj_store_path=row["obj_store_path"],
                notes=of_model,
            )
            return models.create_new(self.session, new)

        return create

    def _create_version(self, row: Row) -> Callable[[], object]:
        def create() -> object:
            label_map = row["label_map"] and {str(key): value for key, value in row["label_map"].items()}
            new = NewVersion(
                row["name"],
                row["features_columns"] or {},
                row["additional_data_columns"] or {},
                row["feature_importance"],
                row["classes"],
                label_map,
            )
            return versions.create(self.session, models.get(self.session, row["model_id"]), new)

        return create

    def _create_check(self, row: Row) -> Callable[[], object]:
        def create() -> object:
            config = row["config"]
            return model_checks.create_check(
                self.session,
                models.get(self.session, row["model_id"]),
                row["name"],
                config["module_name"],
                config["class_name"],
                config.get("params") or {},
            )

        return create

    def _create_monitor(self, row: Row, pinned: set[int]) -> Callable[[], object]:
        def create() -> object:
            dashboard: Dashboard | None = None
            if row["dashboard_id"] in pinned:
                dashboard = dashboards.get_or_create(self.session)
            spec = MonitorSpec(
                row["name"],
                Frequency(str(row["frequency"]).upper()),
                row["aggregation_window"],
                timedelta(seconds=row["lookback"]) if row["lookback"] else None,
                row["description"] or "",
                row["data_filters"],
                row["additional_kwargs"],
                None if dashboard is None else dashboard.id,
            )
            return monitors.create(self.session, model_checks.get_check(self.session, row["check_id"]), spec)

        return create

    def _create_rule(self, row: Row) -> Callable[[], object]:
        def create() -> object:
            more = Change(is_active=bool(row["is_active"]))
            severity = Severity(str(row["alert_severity"]).lower())
            return rules.create(self.session, row["monitor_id"], _condition(row), severity, more=more)

        return create

    def _create_receiver(self, row: Row, settings: Webhooks) -> Callable[[], object]:
        def create() -> object:
            kind, spec = _receiver(row)
            return webhook_receivers.add(self.session, kind, spec, settings)

        return create


def set_next_id(session: Session, table: str, next_id: int) -> None:
    """Let the next row of a table have an id."""
    statement = text("select setval(pg_get_serial_sequence(:table, 'id'), :id, false)")
    session.execute(statement, {"table": table, "id": next_id})


def continue_ids(session: Session, *tables: str) -> None:
    """Let the ids of tables continue after the largest."""
    for table in tables:
        next_id = session.execute(text(f"select coalesce(max(id), 0) + 1 from {table}")).scalar_one()
        set_next_id(session, table, next_id)


def _receiver(row: Row) -> tuple[WebhookKind, WebhookSpec]:
    more = row["additional_arguments"] or {}
    headers = row["http_headers"] or {}
    kind = WebhookKind(str(row["kind"]).upper())
    levels = [Severity(str(level).lower()) for level in row["notification_levels"] or []]
    common: dict[str, Any] = {"name": row["name"], "description": row["description"], "levels": levels}
    if kind is WebhookKind.STANDARD:
        spec = WebhookSpec(**common, url=row["http_url"], method=str(row["http_method"]).upper(), headers=headers)
    else:
        key = str(headers.get("Authorization", "")).removeprefix("Token token=") or None
        spec = WebhookSpec(
            **common,
            url=row["http_url"],
            routing_key=more.get("routing_key"),
            access_key=key,
            group=more.get("group"),
            event_class=more.get("class"),
        )
    return kind, spec


def _reason(error: Exception) -> str:
    """Say why an object could not be created."""
    if isinstance(error, DBAPIError):
        return str(error.orig).splitlines()[0]
    if isinstance(error, KeyError):
        return f"it has no {error}"
    if isinstance(error, TypeError | AttributeError):
        return f"a value is missing or of another type ({error})"
    return str(error)


def _condition(row: Row) -> Condition:
    condition = row["condition"]
    return Condition(str(condition["operator"]), float(condition["value"]))


def _new_rule(row: Row) -> NewIngestionRule:
    return NewIngestionRule(
        row["name"],
        IngestionType(str(row["alert_type"]).lower()),
        Frequency(str(row["frequency"]).upper()),
        _condition(row),
        Severity(str(row["alert_severity"]).lower()),
        bool(row["is_active"]),
    )
