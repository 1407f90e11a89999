"""The page of alert rules with their alerts, which the SDK and old messages link to."""

from collections.abc import Sequence

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from dcmon import errors, severity
from dcmon.alerting import rule_lists
from dcmon.alerting.rule_lists import CountedRule, RuleFilter
from dcmon.db.tables.org import Alert
from dcmon.formatting import count_of
from dcmon.http import page_responses
from dcmon.http.auth import Access
from dcmon.http.fields import IdentifierKind
from dcmon.http.page_access import PageReader
from dcmon.http.routes import rules
from dcmon.http.routes.models import resolve
from dcmon.pages.document import Page
from dcmon.pages.markup import EMPTY, NOTHING, Markup, badge, element, joined, link, paragraph, table
from dcmon.storage import models as stored_models

router = APIRouter(include_in_schema=False)
MOST, MOST_ALERTS = 500, 3  # rows of a table, and alerts that a row leads to
MODEL_NAMES, SEVERITY_NAMES = ("modelId", "models", "models[]"), ("severity", "severity[]")  # in queries of links
RULE_HEADS = ("Model", "Monitor", "Check", "Severity", "Condition", "State", "Alerts", "Newest alerts")
RULE_COMMANDS = (
    ("dcmon rule list", "the same in a terminal"),
    ("dcmon alert list", "alerts, with what to do"),
    ("GET /api/v1/alert-rules", "the same over HTTP"),
)


@router.get("/configuration/alert-rules")
def alert_rules(access: PageReader, request: Request) -> Response:
    """Show the alert rules with their alerts. Links of old messages choose a model and a severity."""
    heading = element("h1", f"Alert rules of {access.org.name}")
    try:
        body = heading + _alert_rules(access, request)
    except (errors.NotFound, errors.InvalidInput) as error:  # a link may name a model that was deleted since
        body = heading + paragraph(str(error))
    return page_responses.page(access, Page("Alert rules", body, crumbs=(page_responses.MODELS,)))


def _alert_rules(access: Access, request: Request) -> Markup:
    with access.session() as session:
        wanted = _wanted(session, request)
        names = {model.id: model.name for model in stored_models.entries(session)}
        counted = rule_lists.counted_rules(session, wanted, limit=MOST)
        alerts = rule_lists.newest_alerts(session, [entry.rule.id for entry in counted], MOST_ALERTS)
        rows = [
            [
                link(names[entry.model_id], f"/models/{entry.model_id}"), *_rule_cells(entry),
                joined(map(_alert_link, alerts.get(entry.rule.id, ())), ", "),
            ]
            for entry in counted
        ]  # fmt: skip
    chosen = NOTHING
    if wanted.model_ids or wanted.severities:
        every = link("all rules", "/configuration/alert-rules")
        chosen = paragraph(joined(("Rules of the chosen models and severities: ", every)))
    shown = table(RULE_HEADS, rows, "Rules", stacks=True) if rows else paragraph("There is no such rule.", "none")
    more = table(("Command", "What it shows"), RULE_COMMANDS, "More", stacks=True)
    return chosen + shown + _only_first(rows) + more


def _rule_cells(entry: CountedRule) -> tuple[object, ...]:
    rule = rules.describe(entry.rule)
    counts = f"{count_of(entry.alerts, 'alert')}, {entry.unresolved:,} open" if entry.alerts else EMPTY
    state = "on" if rule["is_active"] else "off"
    monitor = link(entry.monitor.name, f"/monitors/{entry.monitor.id}")
    level = badge(rule["alert_severity"], rule["alert_severity"])
    return monitor, entry.check_name, level, rule["text"], state, counts


def _alert_link(alert: Alert) -> Markup:
    return link(f"alert {alert.id} ({alert.state})", f"/alerts/{alert.id}")


def _wanted(session: Session, request: Request) -> RuleFilter:
    """Return which rules a link asks for. Raises ModelNotFound and InvalidInput."""
    query = request.query_params.multi_items()
    ids = [value for name, value in query if name in MODEL_NAMES][:MOST]
    models_chosen = [resolve(session, value, IdentifierKind.ID).id for value in ids]
    levels = [severity.parse(value) for name, value in query if name in SEVERITY_NAMES][:MOST]
    return RuleFilter(model_ids=models_chosen, severities=levels, has_alerts=False)


def _only_first(rows: Sequence[object]) -> Markup:
    return paragraph(f"Only the first {MOST} are shown.", "note") if len(rows) == MOST else NOTHING
