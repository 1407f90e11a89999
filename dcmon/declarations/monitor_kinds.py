"""Apply changes of monitors and their rules."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from dcmon.alerting import condition_parser, rule_changes, rules
from dcmon.db.tables.org import Alert, AlertRule, Monitor
from dcmon.declarations import declared_monitors, state
from dcmon.declarations.applying_context import Context, Effects, changed_meanwhile, require_stored
from dcmon.declarations.changes import Change
from dcmon.declarations.declared_monitors import MonitorDeclaration, RuleDeclaration
from dcmon.monitoring import dashboards, lifecycle, model_checks, monitors
from dcmon.monitoring.lifecycle import MonitorEdit
from dcmon.monitoring.monitor_spec import MonitorSpec

# The fields of a specification by the keys of a monitor in a file.
SPEC_FIELDS = {
    "name": "name", "description": "description", "frequency": "frequency", "aggregation_window": "aggregation_window",
    "lookback": "lookback", "compare": "compared_with", "rows": "rows", "filters": "data_filters",
    "on_dashboard": "dashboard_id",
    **dict.fromkeys(
        ("features", "scorers", "classes", "aggregation", "max_features", "metrics", "additional_kwargs"),
        "additional_kwargs",
    ),
}  # fmt: skip


class MonitorKind:
    """Monitors of models."""

    def create(self, context: Context, change: Change) -> Effects:
        """Create a monitor: its last windows are due."""
        declared, session = cast(MonitorDeclaration, change.declared), context.session
        model_name, name = change.path
        check = model_checks.resolve(session, context.model(model_name), declared.check, is_name=True)
        monitors.create(session, check, self._spec(context, name, declared), context.org.retention)
        return {}

    def change(self, context: Context, change: Change) -> Effects:
        """Rename a monitor, and change it: after a change of its values its alerts end."""
        declared, session = cast(MonitorDeclaration, change.declared), context.session
        model_name, name = change.path
        monitor = context.monitor(model_name, change.former or name)
        open_before, windows = context.open_alerts(Monitor.id == monitor.id), 0
        wanted = self._spec(context, name, declared)
        fields = {SPEC_FIELDS[field.name] for field in change.fields if field.name in SPEC_FIELDS}
        if "frequency" in fields:
            fields.add("lookback")  # the default is that of the frequency

        def edit(spec: MonitorSpec, params: Mapping[str, Any]) -> MonitorEdit:
            if _without_check(declared_monitors.of_spec(spec, "", [])) != _without_check(change.stored):
                raise changed_meanwhile(f"monitor {change.name!r}")
            return MonitorEdit(replace(spec, **{field: getattr(wanted, field) for field in fields}))

        if change.has("check"):
            check = model_checks.resolve(session, context.model(model_name), declared.check, is_name=True)
            windows = lifecycle.move_monitor(session, context.org, monitor, check, context.actor.public_url)
        if fields:
            done = lifecycle.change_monitor(session, context.org, monitor, edit, context.actor.public_url)
            windows = max(windows, done.windows)
        ended = open_before - context.open_alerts(Monitor.id == monitor.id)
        return {"windows due": windows, "alerts ended": ended}

    def delete(self, context: Context, change: Change) -> Effects:
        """Delete a monitor with its results, rules and alerts."""
        monitor = context.monitor(*change.path)
        counts = monitors.count_dependents(context.session, monitor)
        ended = context.open_alerts(Monitor.id == monitor.id)
        lifecycle.delete_monitor(context.session, monitor)
        return {**{f"{name} deleted": count for name, count in counts.items()}, "alerts ended": ended}

    @staticmethod
    def _spec(context: Context, name: str, declared: MonitorDeclaration) -> MonitorSpec:
        dashboard_id = dashboards.get_or_create(context.session).id if declared.on_dashboard else None
        return declared.spec(name, dashboard_id)


def _without_check(declared: Any) -> Mapping[str, Any]:
    return {**declared.values(), "check": None}


class RuleKind:
    """Rules of monitors."""

    def create(self, context: Context, change: Change) -> Effects:
        """Add a rule to a monitor, and judge stored results by it."""
        declared = cast(RuleDeclaration, change.declared)
        monitor = context.monitor(*change.path[:2])
        settings = declared.change()
        condition = condition_parser.parse(declared.condition)
        added = rule_changes.add(
            context.session, context.actor, monitor.id, condition, replace(settings, condition=None)
        )
        self._count(context, added.rule, declared)
        return {"alerts opened": context.open_alerts(Alert.rule_id == added.rule.id)}

    def change(self, context: Context, change: Change) -> Effects:
        """Change a rule, and judge open alerts and the newest window by it."""
        declared = cast(RuleDeclaration, change.declared)
        locked = rules.lock_all(context.session, [change.stored_id or 0])
        if not locked:
            raise changed_meanwhile(f"rule {change.name!r}")
        rule = locked[0]
        require_stored(change, state.of_rule(rule).values())
        open_before = context.open_alerts(Alert.rule_id == rule.id)
        rule_changes.change(context.session, context.actor, rule, declared.change())
        self._count(context, rule, declared)
        difference = open_before - context.open_alerts(Alert.rule_id == rule.id)
        return {"alerts ended": max(difference, 0), "alerts opened": max(-difference, 0)}

    def delete(self, context: Context, change: Change) -> Effects:
        """Delete a rule with its alerts."""
        rule = rules.get(context.session, change.stored_id or 0)
        ended = context.open_alerts(Alert.rule_id == rule.id)
        rules.delete(context.session, rule)
        return {"alerts ended": ended}

    @staticmethod
    def _count(context: Context, rule: AlertRule, declared: RuleDeclaration) -> None:
        if rule.ingestion_type != declared.counts:
            rule.ingestion_type = declared.counts
            context.session.flush()
