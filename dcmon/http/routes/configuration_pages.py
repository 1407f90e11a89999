"""The web pages that the SDK and old messages link to: models with their rows, and alert rules with their alerts."""

import html
from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from dcmon import errors, severity
from dcmon.alerting import rule_lists
from dcmon.alerting.rule_lists import CountedRule, RuleFilter
from dcmon.db.tables.org import Alert
from dcmon.formatting import count_of
from dcmon.http import auth, html_pages
from dcmon.http.auth import Access, OpenAccess
from dcmon.http.fields import IdentifierKind
from dcmon.http.html_pages import Link
from dcmon.http.routes import rules
from dcmon.http.routes.models import resolve
from dcmon.ingestion import quarantine_pages
from dcmon.monitoring import overview
from dcmon.storage import models as stored_models

router = APIRouter(include_in_schema=False)
MOST, MOST_ALERTS = 500, 3  # rows of a table, and alerts that a row leads to
MODEL_NAMES, SEVERITY_NAMES = ("modelId", "models", "models[]"), ("severity", "severity[]")  # in queries of links
RULE_HEADS = ("Model", "Monitor", "Check", "Severity", "Condition", "", "Alerts")
LOG_IN = (
    "Log in with any name, and with a token of the organization as the password:"
    ' "dcmon token create" creates a token, and "dcmon status" shows whether dcmon works.'
)
MODEL_COMMANDS = (
    ("dcmon model list", "the same in a terminal"),
    ("dcmon model show MODEL", "versions, checks and monitors of a model"),
    ("dcmon quarantine list", "each refused row with the reason"),
    ("GET /api/v1/connected-models/{id}/ingestion-errors", "the same over HTTP"),
)
RULE_COMMANDS = (
    ("dcmon rule list", "the same in a terminal"),
    ("dcmon alert list", "alerts, with what to do"),
    ("GET /api/v1/alert-rules", "the same over HTTP"),
)
Org = Annotated[str | None, Query(max_length=100)]


@router.get("/configuration/models")
def models(_: OpenAccess, request: Request, org: Org = None) -> Response:
    """Show the models with the numbers of their rows, and how many rows were refused."""
    return _show(request, org, "Models", _models)


@router.get("/configuration/alert-rules")
def alert_rules(_: OpenAccess, request: Request, org: Org = None) -> Response:
    """Show the alert rules with their alerts. Links of old messages choose a model and a severity."""
    return _show(request, org, "Alert rules", lambda access: _alert_rules(access, request))


def _show(request: Request, org: str | None, title: str, render: Callable[[Access], str]) -> Response:
    """Return a page for the organization of the token, or ask for a token."""
    try:
        access = auth.authenticate(request)
        if org not in (None, access.org.name):
            raise errors.NotAuthenticated
    except (errors.NotAuthenticated, errors.NotAllowed):
        return html_pages.log_in(org, LOG_IN)
    heading = f"<h2>{html.escape(title)} of {html.escape(access.org.name)}</h2>"
    try:
        return html_pages.page(title, heading + render(access))
    except (errors.NotFound, errors.InvalidInput) as error:  # a link may name a model that was deleted since
        return html_pages.page(title, f"{heading}<p>{html.escape(str(error))}</p>")


def _models(access: Access) -> str:
    with access.session() as session:
        shown = list(overview.of_models(session))[:MOST]
        refused = quarantine_pages.count_by_model(session, [model.model.id for model in shown])
        rows = [
            (
                model.model.name,
                model.model.task_type,
                count_of(len(model.versions), "version"),
                count_of(model.rows, "row"),
                f"{model.labels:,} with a label",
                f"{refused.get(model.model.id, 0):,} refused",
                count_of(sum(model.alerts.values()), "alert"),
            )
            for model in shown
        ]
    table = html_pages.table("What was received", rows) or "<p>There is no model yet.</p>"
    return table + _only_first(rows) + _commands(MODEL_COMMANDS)


def _alert_rules(access: Access, request: Request) -> str:
    with access.session() as session:
        wanted = _wanted(session, request)
        names = {model.id: model.name for model in stored_models.entries(session)}
        counted = rule_lists.counted_rules(session, wanted, limit=MOST)
        alerts = rule_lists.newest_alerts(session, [entry.rule.id for entry in counted], MOST_ALERTS)
        rows = [
            (names[entry.model_id], *_rule_cells(entry), *map(_alert_link, alerts.get(entry.rule.id, ())))
            for entry in counted
        ]
    is_chosen = bool(wanted.model_ids or wanted.severities)
    chosen = (
        "<p>Rules of the chosen models and severities: <a href='/configuration/alert-rules'>all rules</a></p>"
        if is_chosen
        else ""
    )
    table = html_pages.table("Rules", rows, RULE_HEADS) or "<p>There is no such rule.</p>"
    return chosen + table + _only_first(rows) + _commands(RULE_COMMANDS)


def _rule_cells(entry: CountedRule) -> tuple[str, ...]:
    rule = rules.describe(entry.rule)
    counts = f"{count_of(entry.alerts, 'alert')}, {entry.unresolved:,} not resolved"
    state = "on" if rule["is_active"] else "off"
    return entry.monitor.name, entry.check_name, rule["alert_severity"], rule["text"], state, counts


def _alert_link(alert: Alert) -> Link:
    return Link(f"alert {alert.id} ({alert.state})", f"/alerts/{alert.id}")


def _wanted(session: Session, request: Request) -> RuleFilter:
    """Return which rules a link asks for. Raises ModelNotFound and InvalidInput."""
    query = request.query_params.multi_items()
    ids = [value for name, value in query if name in MODEL_NAMES][:MOST]
    models_chosen = [resolve(session, value, IdentifierKind.ID).id for value in ids]
    levels = [severity.parse(value) for name, value in query if name in SEVERITY_NAMES][:MOST]
    return RuleFilter(model_ids=models_chosen, severities=levels, has_alerts=False)


def _only_first(rows: Sequence[object]) -> str:
    return f"<p>Only the first {MOST} are shown.</p>" if len(rows) == MOST else ""


def _commands(commands: tuple[tuple[str, str], ...]) -> str:
    return html_pages.table("More", commands)
