"""A Grafana dashboard and Prometheus rules for dcmon's own metrics (http.metrics, http.system_metrics)."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from dcmon.settings import Settings

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
OF_ORG = 'organization=~"$organization"'
COLUMNS, HEIGHT = 24, 8  # of Grafana's grid; the height of a graph
STAT_WIDTH, STAT_HEIGHT, GRAPH_WIDTH = 4, 4, 12


class Panel(NamedTuple):
    """A panel. `queries`: expressions with their legends. `unit`: as Grafana calls it."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    description: str = ""
    red_from: float | None = None


class Row(NamedTuple):
    """A row of panels: numbers, then graphs."""

    title: str
    stats: Sequence[Panel] = ()
    graphs: Sequence[Panel] = ()


ROWS = (
    Row(
        "Is dcmon well",
        stats=(
            Panel("PostgreSQL", [("min(dcmon_up)", "")], description="1: it can be reached."),
            Panel("Problems", [("sum(dcmon_problems) or vector(0)", "")], red_from=1, description="dcmon status"),
            Panel("Firing alerts", [(f"sum(dcmon_firing_alerts{{{OF_ORG}}}) or vector(0)", "")]),
            Panel("Oldest due window", [("max(dcmon_due_window_age_seconds)", "")], "s"),
            Panel("Oldest notification", [("max(dcmon_waiting_notification_age_seconds)", "")], "s"),
            Panel("Free disk", [("min(dcmon_free_disk_ratio)", "")], "percentunit"),
        ),
        graphs=(
            Panel("Processes", [("max by (kind) (dcmon_processes)", "{{kind}}")]),
            Panel("Problems by name", [("max by (name) (dcmon_problems)", "{{name}}")]),
        ),
    ),
    Row(
        "Requests",
        graphs=(
            Panel(
                "Requests",
                [("sum by (status) (rate(dcmon_http_requests_total[$__rate_interval]))", "{{status}}")], "reqps",
            ),
            Panel(
                "Duration, 99th percentile",
                [
                    (
                        "histogram_quantile(0.99, sum by (le, route)"
                        " (rate(dcmon_http_request_duration_seconds_bucket[$__rate_interval])))",
                        "{{route}}",
                    )
                ],
                "s",
            ),
            Panel(
                "Rows of requests",
                [(f"sum by (outcome) (rate(dcmon_rows_total{{{OF_ORG}}}[$__rate_interval]))", "{{outcome}}")],
                "rowsps",
            ),
            Panel(
                "Rows of all sources, within 5 minutes",
                [(f"sum by (organization, outcome) (max without (instance) (dcmon_recent_rows{{{OF_ORG}}}))",
                  "{{organization}} {{outcome}}")],
            ),
        ),
    ),
    Row(
        "Evaluation and alerts",
        graphs=(
            Panel(
                "Windows that wait",
                [(f"max by (organization) (dcmon_due_windows{{{OF_ORG}}})", "{{organization}}")],
            ),
            Panel(
                "Age of the oldest waiting window",
                [(f"max by (organization) (dcmon_due_window_age_seconds{{{OF_ORG}}})", "{{organization}}")], "s",
            ),
            Panel(
                "Results within 5 minutes",
                [(f"max by (organization) (dcmon_recent_evaluations{{{OF_ORG}}})", "{{organization}}")],
            ),
            Panel(
                "Run time of a result: mean and longest",
                [
                    (f"sum(dcmon_recent_evaluation_seconds{{{OF_ORG}}})"
                     f" / sum(dcmon_recent_evaluations{{{OF_ORG}}})", "mean"),
                    (f"max(dcmon_recent_evaluation_max_seconds{{{OF_ORG}}})", "longest"),
                ],
                "s",
            ),
            Panel(
                "Firing alerts",
                [(f"max by (organization, severity) (dcmon_firing_alerts{{{OF_ORG}}})",
                  "{{organization}} {{severity}}")],
            ),
            Panel(
                "Rules that can't be judged",
                [(f"max by (organization) (dcmon_failing_rules{{{OF_ORG}}})", "{{organization}}")], red_from=1,
            ),
        ),
    ),
    Row(
        "Notifications",
        graphs=(
            Panel(
                "Notifications that wait",
                [(f"max by (organization) (dcmon_waiting_notifications{{{OF_ORG}}})", "{{organization}}")],
            ),
            Panel(
                "Finished within 5 minutes",
                [(f"max by (organization, outcome) (dcmon_recent_deliveries{{{OF_ORG}}})",
                  "{{organization}} {{outcome}}")],
            ),
        ),
    ),
    Row(
        "Kafka and PostgreSQL",
        graphs=(
            Panel("Unread messages", [("max by (partition) (dcmon_topic_lag_messages)", "{{partition}}")]),
            Panel(
                "Age of the oldest unread message",
                [("max by (partition) (dcmon_topic_lag_seconds)", "{{partition}}")], "s",
            ),
            Panel(
                "Parked messages and dead letters",
                [("sum(dcmon_parked_messages)", "parked"), ("max(dcmon_dead_letters)", "dead letters within an hour")],
            ),
            Panel(
                "Connections to PostgreSQL",
                [("max(dcmon_postgres_connections)", "open"), ("max(dcmon_postgres_max_connections)", "limit")],
            ),
        ),
    ),
)  # fmt: skip


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it: it asks for the data source."""
    panels, top = list[dict[str, Any]](), 0
    for row in ROWS:
        panels.append(_at({"type": "row", "title": row.title, "collapsed": False, "panels": []}, 0, top, COLUMNS, 1))
        top += 1
        for number, panel in enumerate(row.stats):
            panels.append(_at(_panel(panel, "stat"), number * STAT_WIDTH, top, STAT_WIDTH, STAT_HEIGHT))
        top += STAT_HEIGHT if row.stats else 0
        for number, panel in enumerate(row.graphs):
            left = number % 2 * GRAPH_WIDTH
            panels.append(_at(_panel(panel, "timeseries"), left, top + number // 2 * HEIGHT, GRAPH_WIDTH, HEIGHT))
        top += -(-len(row.graphs) // 2) * HEIGHT
    numbered = [{"id": number, **panel} for number, panel in enumerate(panels, 1)]
    return {
        "uid": "dcmon", "title": "dcmon", "tags": ["dcmon"], "timezone": "browser", "schemaVersion": 39, "version": 1,
        "editable": True, "graphTooltip": 1, "refresh": "30s", "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_datasource_variable(), _organization_variable()]},
        "annotations": {"list": []}, "links": [], "panels": numbered,
    }  # fmt: skip


def _at(panel: dict[str, Any], x: int, y: int, width: int, height: int) -> dict[str, Any]:
    return {**panel, "gridPos": {"x": x, "y": y, "w": width, "h": height}}


def _panel(panel: Panel, kind: str) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_from is not None:
        steps.append({"color": "red", "value": panel.red_from})
    return {
        "type": kind, "title": panel.title, "description": panel.description, "datasource": DATASOURCE,
        "targets": [
            {"refId": chr(ord("A") + number), "expr": expression, "legendFormat": legend, "datasource": DATASOURCE}
            for number, (expression, legend) in enumerate(panel.queries)
        ],
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": {},
    }  # fmt: skip


def _datasource_variable() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}


def _organization_variable() -> dict[str, Any]:
    query = "label_values(dcmon_organization_unavailable, organization)"
    return {
        "name": "organization", "type": "query", "label": "Organization", "datasource": DATASOURCE, "query": query,
        "refresh": 2, "includeAll": True, "allValue": ".*", "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }  # fmt: skip


class Alert(NamedTuple):
    """A rule of Prometheus. `lasting`: how long the condition must hold."""

    name: str
    expression: str
    lasting: timedelta
    severity: str
    summary: str
    command: str = "dcmon status"


def rules(settings: Settings) -> dict[str, Any]:
    """Return the rules as Prometheus reads them; their limits are those of DCMON_HEALTH__…."""
    groups = [{"name": "dcmon", "rules": [_rule(alert) for alert in _alerts(settings)]}]
    return {"groups": groups}


def _alerts(settings: Settings) -> list[Alert]:
    limits, soon, later = settings.health, timedelta(minutes=2), timedelta(minutes=10)
    at_once = timedelta()
    errors = 'sum(rate(dcmon_http_requests_total{status=~"5.."}[5m])) / sum(rate(dcmon_http_requests_total[5m])) > 0.05'
    slow = "histogram_quantile(0.99, sum by (le) (rate(dcmon_http_request_duration_seconds_bucket[5m]))) > 5"
    connections = "dcmon_postgres_connections / dcmon_postgres_max_connections > 0.9"
    return [
        Alert("DcmonNotScraped", "absent(dcmon_up)", soon, "critical", "No endpoint of dcmon answers."),
        Alert("DcmonDatabaseDown", "dcmon_up == 0", soon, "critical", "dcmon can't reach PostgreSQL."),
        Alert("DcmonProcessMissing", "max by (kind) (dcmon_processes) == 0", soon, "critical",
              "No {{ $labels.kind }} process of dcmon runs."),
        Alert("DcmonProblem", "max by (name) (dcmon_problems) > 0", soon, "warning",
              "dcmon has the problem {{ $labels.name }}."),
        Alert("DcmonEvaluationBehind",
              f"max by (organization) (dcmon_due_window_age_seconds) > {_seconds(limits.evaluation)}", at_once,
              "critical", "A complete window of {{ $labels.organization }} waits for {{ $value | humanizeDuration }}."),
        Alert("DcmonNotificationsWait",
              f"max by (organization) (dcmon_waiting_notification_age_seconds) > {_seconds(limits.notification)}",
              at_once, "critical",
              "A notification of {{ $labels.organization }} waits for {{ $value | humanizeDuration }}.",
              "dcmon notification list"),
        Alert("DcmonKafkaDown", "dcmon_kafka_up == 0", soon, "critical", "dcmon can't reach Kafka."),
        Alert("DcmonIngestionBehind", f"max by (partition) (dcmon_topic_lag_seconds) > {_seconds(limits.lag)}", at_once,
              "critical", "A message of {{ $labels.partition }} is unread for {{ $value | humanizeDuration }}.",
              "dcmon ingest lag"),
        Alert("DcmonParkedMessages", "max by (organization) (dcmon_parked_messages) > 0", limits.parked, "warning",
              "{{ $value }} messages of {{ $labels.organization }} are parked.", "dcmon ingest lag"),
        Alert("DcmonDeadLetters", "max(dcmon_dead_letters) > 0", at_once, "warning",
              "{{ $value }} messages became dead letters within an hour.", "dcmon dead-letter list"),
        Alert("DcmonOrganizationUnavailable", "max by (organization) (dcmon_organization_unavailable) == 1", later,
              "warning", "Organization {{ $labels.organization }} can't be opened or read."),
        Alert("DcmonRulesFail", "max by (organization) (dcmon_failing_rules) > 0", later, "warning",
              "{{ $value }} alert rules of {{ $labels.organization }} can't be judged.", "dcmon rule list"),
        Alert("DcmonDiskFull", f"min(dcmon_free_disk_ratio) < {limits.disk:g}", soon, "critical",
              "Only {{ $value | humanizePercentage }} of the data directory's disk is free.", "dcmon prune --dry-run"),
        Alert("DcmonConnectionsExhausted", connections, later, "warning",
              "{{ $value | humanizePercentage }} of PostgreSQL's connections are used."),
        Alert("DcmonRequestsFail", errors, later, "critical",
              "{{ $value | humanizePercentage }} of dcmon's requests fail.", "dcmon logs serve --level error"),
        Alert("DcmonRequestsSlow", slow, later, "warning",
              "The slowest hundredth of requests takes {{ $value | humanizeDuration }}."),
    ]  # fmt: skip


def _rule(alert: Alert) -> dict[str, Any]:
    lasting = {"for": f"{_seconds(alert.lasting)}s"} if alert.lasting else {}
    return {
        "alert": alert.name,
        "expr": alert.expression,
        **lasting,
        "labels": {"severity": alert.severity},
        "annotations": {"summary": alert.summary, "description": f"Type: {alert.command}"},
    }


def _seconds(span: timedelta) -> int:
    return int(span.total_seconds())
