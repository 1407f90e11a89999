"""Receivers are notified of the end when an alert's rule, monitor or model is deleted."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.alerting import rules
from dcmon.app import App
from dcmon.db import work_queue
from dcmon.db.tables.org import AlertRule, Check, Monitor, Notification
from dcmon.monitoring import lifecycle
from dcmon.notifications import closing
from dcmon.notifications.integrations import message_text
from dcmon.storage import models, versions
from dcmon.tenancy import tokens
from tests.helpers.endpoint import serving
from tests.helpers.judged_results import create_rule, notified_states, store_and_judge
from tests.integration.conftest import Target

Delete = Callable[[Session, Target], None]


def a_rule(session: Session, _: Target) -> None:
    rules.delete(session, session.scalars(select(AlertRule)).one())


def a_monitor(session: Session, _: Target) -> None:
    lifecycle.delete_monitor(session, session.scalars(select(Monitor)).one())


def a_check(session: Session, target: Target) -> None:
    lifecycle.delete_checks(session, models.get(session, target.model_id), list(session.scalars(select(Check.name))))


def a_version(session: Session, target: Target) -> None:
    lifecycle.delete_version(session, *versions.get(session, target.version_id))


def a_model(session: Session, target: Target) -> None:
    lifecycle.delete_model(session, models.get(session, target.model_id))


def hear(target: Target) -> None:
    """Deliver all notifications."""
    with db.org_session(target.engine, target.org) as session:
        for notification in session.scalars(select(Notification)):
            notification.attempts, notification.delivered_at = 1, datetime.now(UTC)


@pytest.mark.parametrize("delete", [a_rule, a_monitor, a_check, a_version, a_model])
def test_deletion_resolves_notified_alerts(target: Target, delete: Delete) -> None:
    create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.5)
    hear(target)
    with db.org_session(target.engine, target.org) as session:
        notified = session.scalars(select(Notification)).one()
        delete(session, target)
    with db.org_session(target.engine, target.org) as session:
        remaining = session.scalars(select(Notification)).one()
        assert (remaining.alert_id, remaining.kind, remaining.delivered_at, remaining.severity) == (
            None,
            "resolved",
            None,
            "high",
        )
        assert remaining.webhook_id == notified.webhook_id
        assert remaining.body["type"] == "alert.resolved"
        message = remaining.body["alert"]
        ended = {name: message[name] for name in ("resolved_at", "by", "note")}
        assert (ended["by"], ended["note"]) == (None, closing.NOTE)
        assert message == {**notified.body["alert"], "state": "resolved", "resolved_by": "deletion", **ended}
        assert (remaining.body["link"], remaining.body["command"]) == (None, "dcmon --org acme alert list --all")
        assert "alert show" not in message_text.plain(remaining.body)
        assert "/alerts/" not in message_text.plain(remaining.body)


def test_deletion_repeats_only_ends_that_did_not_arrive(target: Target) -> None:
    create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.5)
    hear(target)
    store_and_judge(target, 1, 0.1)
    with db.org_session(target.engine, target.org) as session:
        a_rule(session, target)
    assert notified_states(target) == [(None, "resolved")]


@pytest.mark.parametrize("is_over", [False, True])
def test_deletion_notifies_no_receiver_without_open_alert(target: Target, is_over: bool) -> None:
    create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.5)
    if is_over:
        store_and_judge(target, 1, 0.1)
        hear(target)
    with db.org_session(target.engine, target.org) as session:
        a_rule(session, target)
    assert notified_states(target) == []


OVER_HTTP = {
    "a rule": "alert-rules/{rule}",
    "a monitor": "monitors/{monitor}",
    "a check": "models/{model}/checks?names=FeatureDrift",
    "a version": "model-versions/{version}",
    "a version by its name": "models/credit/model-versions/{name}",
    "a model": "models/{model}",
}


@pytest.mark.parametrize("path", OVER_HTTP.values(), ids=OVER_HTTP)
def test_closing_notification_needs_no_scheduler(app: App, target: Target, path: str) -> None:
    create_rule(target, "> 0.2")
    store_and_judge(target, 0, 0.5)
    hear(target)
    with app.org(target.org) as session:
        rule = session.scalars(select(AlertRule)).one()
        name = versions.get(session, target.version_id)[1].name
        ids = {"rule": rule.id, "monitor": rule.monitor_id, "model": target.model_id, "version": target.version_id}
    with app.public() as session:
        token = tokens.create(session, target.org.id, 1, "deleting")
        session.execute(text("delete from work_queue"))
    with serving(app, token) as endpoint:
        assert endpoint.request("DELETE", path.format(**ids, name=name)).status == 200
    with app.public() as session:
        assert work_queue.claim(session, work_queue.Work.notify, timedelta()) is not None
