"""The web pages that the SDK and old messages link to: models with their rows, and alert rules with their alerts."""

import html
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from dcmon import errors
from dcmon.alerting import rule_lists
from dcmon.alerting.rule_lists import RuleFilter
from dcmon.http import auth, html_pages
from dcmon.http.auth import Access, OpenAccess
from dcmon.http.routes import rules
from dcmon.ingestion import quarantine_pages
from dcmon.monitoring import overview

router = APIRouter(include_in_schema=False)
MOST = 500  # rows of a table
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
    """Show all alert rules with counts of their alerts. Filters of old links are not applied."""
    return _show(request, org, "Alert rules", _alert_rules)


def _show(request: Request, org: str | None, title: str, render: Callable[[Access], str]) -> Response:
    """Return a page for the organization of the token, or ask for a token."""
    try:
        access = auth.authenticate(request)
        if org not in (None, access.org.name):
            raise errors.NotAuthenticated
    except (errors.NotAuthenticated, errors.NotAllowed):
        return html_pages.log_in(org, LOG_IN)
    heading = f"<h2>{html.escape(title)} of {html.escape(access.org.name)}</h2>"
    return html_pages.page(title, heading + render(access))


def _models(access: Access) -> str:
    with access.session() as session:
        shown = list(overview.of_models(session))[:MOST]
        refused = quarantine_pages.count_by_model(session, [model.model.id for model in shown])
        rows = [
            (
                model.model.name,
                model.model.task_type,
                f"{len(model.versions)} versions",
                f"{model.rows:,} rows",
                f"{model.labels:,} with a label",
                f"{refused.get(model.model.id, 0):,} refused",
                f"{sum(model.alerts.values()):,} alerts",
            )
            for model in shown
        ]
    return (html_pages.table("What was received", rows) or "<p>There is no model yet.</p>") + _commands(MODEL_COMMANDS)


def _alert_rules(access: Access) -> str:
    with access.session() as session:
        counted = rule_lists.counted_rules(session, RuleFilter(has_alerts=False), [], MOST, 0)
        rows = [
            (
                rule.monitor.name,
                rule.check_name,
                view["alert_severity"],
                view["text"],
                "on" if view["is_active"] else "off",
                f"{rule.alerts:,} alerts, {rule.unresolved:,} of them not resolved",
            )
            for rule in counted
            for view in [rules.describe(rule.rule)]
        ]
    return (html_pages.table("Rules", rows) or "<p>There is no rule yet.</p>") + _commands(RULE_COMMANDS)


def _commands(commands: tuple[tuple[str, str], ...]) -> str:
    return html_pages.table("More", commands)
