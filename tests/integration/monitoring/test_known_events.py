"""Real flights with known events: each event is one alert that names its driver, and there are no other alerts.

Flights that left New York in February 2013 are compared with those of January. One event is real: in the blizzard of
8 and 9 February half of the flights were cancelled and so have no departure delay. The other events are added here.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import SecretStr
from sqlalchemy import select, text

from dcmon import db
from dcmon.alerting import rules
from dcmon.alerting.rules import Change
from dcmon.app import App
from dcmon.db import Organization
from dcmon.db.tables.org import Alert, AlertRule, Monitor
from dcmon.demo import flights
from dcmon.jobs import evaluate
from dcmon.monitoring import lifecycle, model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.output import Output
from dcmon.settings import Evaluate, Settings
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from dcmon.tenancy import provisioning
from dcmon.windows import Frequency
from tests.conftest import _administer, _database, drop_database
from tests.integration.conftest import eventually, running

FEATURES = {
    "carrier": "categorical", "origin": "categorical", "hour": "integer", "distance": "numeric", "dep_delay": "numeric",
}  # fmt: skip
STEADY = ["carrier", "origin", "hour", "distance"]  # what all days have in common in any weather
DAYS = 28


@dataclass(frozen=True)
class Event:
    """An event in some days of February; `entry` is the feature that the alert must name."""

    first: int
    last: int
    monitor: str
    entry: str | None
    late: int = 0  # the number of windows until the alert


@dataclass(frozen=True)
class AlertSummary:
    """An alert: the days on which the rule was violated, its state, and its drivers."""

    monitor: str
    first: int
    last: int
    state: str
    drivers: Sequence[str]


BLIZZARD = Event(8, 9, "Nulls", "dep_delay")
KILOMETRES = Event(12, 15, "Drift", "distance")
NO_CARRIER = Event(17, 19, "Nulls", "carrier")
NO_KENNEDY = Event(21, 22, "Drift", "origin")
FLIPPED = Event(24, 25, "Right", None)
EVENTS = (BLIZZARD, KILOMETRES, NO_CARRIER, NO_KENNEDY, FLIPPED)


def changed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the flights of February with the added events."""
    day = rows["time"].dt.day
    kilometres, no_carrier = (
        day.between(KILOMETRES.first, KILOMETRES.last),
        day.between(NO_CARRIER.first, NO_CARRIER.last),
    )
    rows["distance"] = rows["distance"].astype(float).mask(kilometres, rows["distance"] * 1.609344)
    rows["carrier"] = rows["carrier"].mask(no_carrier & (rows.index % 5 < 2), None)
    rows["late"] = rows["late"].mask(day.between(FLIPPED.first, FLIPPED.last), rows["late"].map({"0": "1", "1": "0"}))
    return rows[~(day.between(NO_KENNEDY.first, NO_KENNEDY.last) & (rows["origin"] == "JFK"))]


def encoded(rows: pd.DataFrame) -> Iterator[Mapping[str, Any]]:
    """Encode rows as a service sends them. The prediction is that a late departure arrives late."""
    for row in rows.to_dict("records"):
        values = {name: None if pd.isna(row[name]) else row[name] for name in FEATURES}
        yield {
            "_dc_sample_id": row["sample_id"], "_dc_time": row["time"].isoformat(), **values,
            "_dc_prediction": "1" if (row["dep_delay"] or 0) > 15 else "0",
        }  # fmt: skip


def build(app: App, org: Organization, january: pd.DataFrame) -> tuple[int, int]:
    names = [*FEATURES, "_dc_prediction", "_dc_label"]
    labels = january["late"].tolist()
    table = [
        [{**row, "_dc_label": label}[name] for name in names]
        for row, label in zip(encoded(january), labels, strict=True)
    ]
    with app.org(org) as session:
        model = models.create(session, NewModel("flights", "binary", label_ratio=0.9, label_delay=timedelta()))
        version = versions.create(session, model, NewVersion("v1", FEATURES, classes=["0", "1"]))
        lifecycle.append_reference(session, model, version, json.dumps({"columns": names, "data": table}).encode())
        for name, check, params, kwargs, rule in (
            ("Drift", "FeatureDrift", {}, {"check_conf": {"feature": STEADY}, "res_conf": None}, "any feature > 0.2"),
            ("Nulls", "PercentOfNulls", {}, None, "any feature > 0.25"),
            ("Right", "SingleDatasetPerformance", {"scorers": ["accuracy"]}, None, "drop > 20% against reference"),
        ):
            created = model_checks.get_or_create_check(session, model, check, params, new_name=name)
            monitor = monitors.create(session, created, MonitorSpec(name, Frequency.DAY, additional_kwargs=kwargs))
            rules.create(session, monitor.id, rules.parse(rule), "high", more=Change(min_n=100))
        return model.id, version.id


def log(app: App, org: Organization, model_id: int, version_id: int, february: pd.DataFrame) -> None:
    for start in range(0, len(february), 4000):
        part = february.iloc[start : start + 4000]
        samples = list(encoded(part))
        app.ingestion.ingest_samples(org, version_id, [json.dumps(row).encode() for row in samples])
        labels = [
            json.dumps({"_dc_sample_id": row["_dc_sample_id"], "_dc_label": label}).encode()
            for row, label in zip(samples, part["late"], strict=True)
            if label is not None
        ]
        app.ingestion.ingest_labels(org, model_id, labels)


@pytest.fixture(scope="module")
def alerts(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[AlertSummary]]:
    """Yield the alerts of the month."""
    year = flights.load()
    january = year[(year["time"] >= "2013-01-01") & (year["time"] < "2013-02-01")]
    february = changed(year[(year["time"] >= "2013-02-01") & (year["time"] < "2013-03-02")].copy())
    name, directory = "dcmon_test_known_events", Path(tmp_path_factory.mktemp("known"))
    _administer(server_url, f"create database {name} template {template}")
    settings = Settings(
        database_url=SecretStr(_database(server_url, name)), data_dir=directory,
        evaluate=Evaluate(check_processes=1, backfill_quiet=timedelta(), last_window_quiet=timedelta(hours=1)),
    )  # fmt: skip
    with App(settings, Output(quiet=True)) as app:
        org = provisioning.create_organization(app.engine, "acme", "owner@acme.example").organization
        model_id, version_id = build(app, org, january)
        log(app, org, model_id, version_id, february)
        with running(evaluate.run, app):
            assert eventually(lambda: evaluated(app, org) == 3 * DAYS)
        yield alerts_of(app, org)
    drop_database(server_url, name)


def evaluated(app: App, org: Organization) -> int:
    with db.org_session(app.engine, org) as session:
        return int(session.scalar(text("select count(distinct (monitor_id, window_end)) from results")) or 0)


def alerts_of(app: App, org: Organization) -> list[AlertSummary]:
    with db.org_session(app.engine, org) as session:
        rows = session.execute(
            select(Alert, Monitor.name)
            .join(AlertRule, AlertRule.id == Alert.rule_id)
            .join(Monitor, Monitor.id == AlertRule.monitor_id)
            .order_by(Alert.first_window_end)
        ).all()
        return [
            AlertSummary(
                name, (alert.first_window_end - timedelta(days=1)).day, (alert.last_window_end - timedelta(days=1)).day,
                alert.state, [row["name"] for row in alert.details["moved"]],
            )
            for alert, name in rows
        ]  # fmt: skip


@pytest.mark.parametrize("event", EVENTS, ids=["blizzard", "kilometres", "no carrier", "no kennedy", "flipped"])
def test_event_is_one_alert_that_names_its_driver(alerts: list[AlertSummary], event: Event) -> None:
    """The alert ends after the event."""
    (alert,) = [
        alert
        for alert in alerts
        if alert.monitor == event.monitor and alert.first <= event.last and alert.last >= event.first
    ]
    assert (alert.first, alert.last, alert.state) == (event.first, event.last, "resolved")
    if event.entry is not None:
        assert alert.drivers[0] == event.entry


def test_known_events_alone_cause_alerts(alerts: list[AlertSummary]) -> None:
    assert len(alerts) == len(EVENTS), alerts
