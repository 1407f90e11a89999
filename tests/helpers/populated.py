"""An organization with an object of each kind, and users of each role, for requests that try everything."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from dcmon import db
from dcmon.alerting.change_context import Actor
from dcmon.alerting.rules import Condition
from dcmon.app import App
from dcmon.monitoring import dashboards, ingestion_rules
from dcmon.monitoring.ingestion_rules import IngestionType, NewIngestionRule
from dcmon.operators import Operator
from dcmon.severity import Severity
from dcmon.storage import models
from dcmon.tenancy import invitations, members, tokens
from dcmon.tenancy.permissions import Role
from dcmon.windows import Frequency
from tests.helpers import valued_model
from tests.helpers.judged_results import create_rule, store_and_judge
from tests.integration.conftest import Target

# Parameters of paths and queries, and the statement that finds what they may be.
IDS = {
    "version_id": "select id from versions",
    "model_version_id": "select id from versions",
    "model_id": "select id from models",
    "check_id": "select id from checks",
    "monitor_id": "select id from monitors",
    "rule_id": "select id from alert_rules",
    "alert_id": "select id from alerts",
    "note_id": "select id from model_notes",
    "webhook_id": "select id from webhooks",
    "dashboard_id": "select id from dashboards",
    "identifier": "select id::text from models",
    "check": "select id::text from checks",
    "names": "select name from checks",
    "model_name": "select name from models",
    "version_name": "select name from versions",
}
FIXED: Mapping[str, list[Any]] = {
    "feature": ["age", "job", "_dc_label"],
    "column": ["age", "job"],
    "start": ["2026-03-01T00:00:00Z"],
    "start_time": ["2026-03-01T00:00:00Z", "2026-03-03T00:00:00Z"],
    "end_time": ["2026-03-10T00:00:00Z"],
    "identifier_kind": ["id", "name"],
}


@dataclass(frozen=True)
class Populated:
    """The tokens of its users by role, and what parameters may be to reach an object, by name."""

    tokens: Mapping[str, str]
    known: Mapping[str, list[Any]]


def populate(app: App, target: Target, token: str) -> Populated:
    """Fill the organization of a target, whose owner has a token."""
    create_rule(target, "> 0.2")
    valued_model.fill(app, target, days=2)
    valued_model.add_second_version(app, target)
    for number, value in enumerate((0.5, 0.1, 0.3)):
        store_and_judge(target, number, value)
    bad = [json.dumps({"_dc_sample_id": f"bad{number}", "_dc_time": "never"}).encode() for number in range(3)]
    app.ingestion.ingest_samples(target.org, target.version_id, bad)
    with app.org(target.org) as session:
        model = models.get(session, target.model_id)
        session.execute(text("insert into model_notes (model_id, title) values (1, 'a note')"))
        dashboards.get_or_create(session)
        condition = Condition(Operator.LESS_THAN, 1000.0)
        new = NewIngestionRule("few", IngestionType.SAMPLE_COUNT, Frequency.DAY, condition, Severity.HIGH, True)
        ingestion_rules.create(session, _actor(app, target), model, new, target.org.retention)
    return Populated({"owner": token, **_add_users(app, target)}, known(app, target))


def known(app: App, target: Target) -> dict[str, list[Any]]:
    """Return what parameters may be now to reach an object, by their names."""
    with db.org_session(app.engine, target.org) as session:
        found = {name: list(session.scalars(text(f"{query} order by 1 limit 6"))) for name, query in IDS.items()}
    with app.public() as session:
        users = [member.id for member in members.entries(session, target.org.id)]
    return {**FIXED, **{name: values for name, values in found.items() if values}, "user_id": users[1:]}


def _actor(app: App, target: Target) -> Actor:
    return Actor.from_settings(target.org, "owner@acme.example", app.settings)


def _add_users(app: App, target: Target) -> dict[str, str]:
    created = dict[str, str]()
    with app.public() as session:
        for role in (Role.ADMIN, Role.MEMBER, Role.VIEWER, Role.INGESTER):
            user_id = members.add(session, target.org.id, f"{role}@acme.example", role)
            created[role.value] = tokens.create(session, target.org.id, user_id, role.value)
        invitations.invite(session, target.org.id, "owner@acme.example", ["new@acme.example"], Role.MEMBER, None)
    return created
