"""The organizations, versions, monitors, rules, receivers and rows of a monitoring run.

The rows depend only on the seed. Hours differ in how many rows they have, in their nulls, in how often the model is
right: so alerts open and end, and late rows and labels move them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from random import Random
from typing import Any

from sqlalchemy import Engine

from dcmon import db
from dcmon.alerting.rules import Change, create, parse
from dcmon.checks import catalogue
from dcmon.db import Organization
from dcmon.monitoring import lifecycle, model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.notifications import receivers
from dcmon.notifications.receivers import Subscription
from dcmon.settings import Webhooks
from dcmon.storage import models, versions
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from dcmon.tenancy import provisioning
from dcmon.windows import ComparedWith, Frequency
from tests.chaos.monitors.rules import Rule, beyond, deviates, falls

HOUR = timedelta(hours=1)
FEATURES = {"age": "numeric", "job": "categorical", "visits": "numeric"}
CLASSES = ["0", "1"]
SILENCE = 5  # hours that passed since the newest row of a version, or between it and the row before
REFERENCE_ROWS = 200
RECEIVERS: Mapping[str, Sequence[str]] = {"all": ("low", "medium", "high", "critical"), "loud": ("high", "critical")}
Row = dict[str, Any]


@dataclass(frozen=True)
class MonitorPlan:
    """A monitor: a check on windows of `hours` hours and its rules; `reads` is rows, labels or flow."""

    name: str
    check: str
    rules: Sequence[Rule]
    hours: int = 1
    params: Mapping[str, Any] = field(default_factory=dict)
    compared: ComparedWith = ComparedWith.REFERENCE
    metric: str | None = None
    reads: str = "rows"


MONITOR_PLANS = (
    MonitorPlan(
        "Nulls",
        "PercentOfNulls",
        (
            Rule("> 0.35", beyond(0.35), for_windows=2, keep_firing=1),
            Rule("any feature > 0.45 warn 0.3", beyond(0.45, 0.3, of="entries"), "high", "low"),
        ),
    ),
    MonitorPlan(
        "Nulls of three hours",
        "PercentOfNulls",
        (Rule("> 0.3", beyond(0.3), "low", no_data="alert", for_windows=2),),
        hours=3,
    ),
    MonitorPlan(
        "Right",
        "SingleDatasetPerformance",
        (
            Rule("< 0.6 warn 0.75", beyond(0.6, 0.75, below=True), "critical", "medium", keep_firing=1, min_n=4),
            Rule("drop > 0.3", falls(0.3), no_data="ok"),
        ),
        params={"scorers": ["accuracy"]},
        reads="labels",
    ),
    MonitorPlan(
        "Rows",
        "DataFlow",
        (
            Rule("rows < 8", beyond(8, below=True), "high", keep_firing=2),
            Rule("deviation > 1.5 over 6", deviates(1.5, 6), "low"),
        ),
        metric="rows",
        reads="flow",
    ),
    MonitorPlan("Drift", "FeatureDrift", (Rule("> 0.3", beyond(0.3), "critical", no_data="alert", keep_firing=1),)),
    MonitorPlan("Moved", "FeatureDrift", (Rule("> 0.5", beyond(0.5), for_windows=2),), compared=ComparedWith.PREVIOUS),
)


@dataclass(frozen=True)
class Target:
    """A version and the rows to log to it: `hours` hours from `begins`.

    `is_live`: its newest row is logged when it is young, and no row follows; otherwise the version is history,
    which ends with a row that comes after a silence.
    """

    org: Organization
    model_id: int
    version_id: int
    relation: int
    begins: datetime
    hours: int
    is_live: bool
    seed: str

    @property
    def name(self) -> str:
        return f"{self.org.name}/{self.model_id}/{self.version_id}"

    def floor(self, time: datetime) -> datetime:
        """Return the start of the hour of a moment, in the model's time zone."""
        return self.begins + (time - self.begins) // HOUR * HOUR

    @cached_property
    def rows(self) -> Mapping[str, Row]:
        """All rows by id, as they are sent."""
        rows = [self._row(hour, number) for hour in range(self.hours) for number in range(self._profile(hour).rows)]
        last = self.begins + (self.hours - 1) * HOUR if self.is_live else self.begins + (self.hours + SILENCE) * HOUR
        rows.append(self._row(0, 999) | {"_dc_time": (last + HOUR - timedelta.resolution).isoformat()})
        return {row["_dc_sample_id"]: row for row in rows}

    @cached_property
    def labels(self) -> Mapping[str, Sequence[str]]:
        """The labels of each row in order; the last counts, and some rows have none."""
        return {name: labels for name in self.rows if (labels := self._labels(name))}

    @property
    def newest(self) -> str:
        """The id of the newest row, which is logged last."""
        return next(reversed(self.rows))

    def _profile(self, hour: int) -> "HourProfile":
        rng = Random(f"{self.seed}/hour/{hour}")
        return HourProfile(
            rng.choice([0, 4, 9, 14, 18, 22, 25]), rng.choice([0.05, 0.1, 0.6]), rng.choice([0.9, 0.9, 0.7, 0.4]),
            rng.choice([0.0, 0.0, 60.0]), rng.choice([1.0, 0.9, 0.3, 0.0]),
        )  # fmt: skip

    def _row(self, hour: int, number: int) -> Row:
        rng, profile = Random(f"{self.seed}/row/{hour}/{number}"), self._profile(hour)
        time = self.begins + hour * HOUR + timedelta(seconds=rng.randrange(3600), microseconds=rng.randrange(10**6))
        predicted = rng.choice(CLASSES)
        return {
            "_dc_sample_id": f"{self.version_id}-{hour}-{number}",
            "_dc_time": time.isoformat(),
            "_dc_prediction": predicted,
            "_dc_prediction_probabilities": [0.7, 0.3] if predicted == "0" else [0.2, 0.8],
            "age": None if rng.random() < profile.nulls else rng.gauss(40 + profile.shift, 10),
            "job": rng.choice(["cook", "smith", "tailor"]),
            "visits": float(rng.randrange(20)),
        }

    def _labels(self, name: str) -> Sequence[str]:
        _, hour, number = name.split("-")
        rng, profile, predicted = (
            Random(f"{self.seed}/label/{name}"),
            self._profile(int(hour)),
            self.rows[name]["_dc_prediction"],
        )
        if number == "999" or rng.random() > profile.labelled:
            return ()
        right = predicted if rng.random() < profile.right else CLASSES[1 - CLASSES.index(predicted)]
        wrong_first = rng.random() < 0.15
        return (CLASSES[1 - CLASSES.index(right)], right) if wrong_first else (right,)


@dataclass(frozen=True)
class HourProfile:
    """Rows, nulls, right predictions, feature shift and labelled rows of an hour."""

    rows: int
    nulls: float
    right: float
    shift: float
    labelled: float


@dataclass(frozen=True)
class World:
    """All targets, the reference rows and the receivers' port."""

    targets: Sequence[Target]
    reference: Sequence[Row]
    port: int

    @property
    def orgs(self) -> Sequence[Organization]:
        return list({target.org.id: target.org for target in self.targets}.values())


def build(engine: Engine, seed: int, hours: int, port: int, delay: timedelta) -> World:
    """Create two organizations, three history versions and a live one.

    `port`: the port of the receivers, each at the path of its name; `delay`: the models' label delay.
    """
    reference = _reference(seed)
    now, created = datetime.now(UTC), list[Target]()
    for name, model_name, zone, past, live_versions in (
        ("acme", "credit", "UTC", timedelta(), (False, False, True)),
        ("other", "claims ü", "Asia/Kathmandu", HOUR / 4, (False,)),
    ):
        org = provisioning.create_organization(engine, name, f"o@{name}.example").organization
        with db.org_session(engine, org) as session:
            model = models.create(
                session, NewModel(model_name, "binary", label_ratio=0.8, label_delay=delay, time_zone=zone)
            )
            for number, is_live in enumerate(live_versions):
                version = versions.create(session, model, NewVersion(f"v{number}", FEATURES, classes=CLASSES))
                lifecycle.append_reference(session, model, version, _document(reference))
                this_hour = now.replace(minute=0, second=0, microsecond=0) + past
                begins = this_hour - (hours + (SILENCE if is_live else 3 * SILENCE)) * HOUR
                created.append(
                    Target(
                        org, model.id, version.id, version.relation, begins, hours, is_live, f"{seed}/{name}/{number}"
                    )
                )
            for plan in MONITOR_PLANS:
                _create(session, model, plan)
            for path, severities in RECEIVERS.items():
                allowed = Webhooks(allow=["127.0.0.1"])
                choices = Subscription(severities, cap=None, repeat_every=None)
                receivers.add(session, path, f"http://127.0.0.1:{port}/{org.name}/{path}", allowed, choices)
    return World(created, reference, port)


def _create(session: Any, model: Any, plan: MonitorPlan) -> None:
    kind = catalogue.find(plan.check)
    check = model_checks.create_check(session, model, plan.name, kind.module_name, kind.class_name, plan.params)
    kwargs = {"check_conf": {}, "res_conf": [plan.metric]} if plan.metric else None
    new = MonitorSpec(plan.name, Frequency.HOUR, plan.hours, additional_kwargs=kwargs, compared_with=plan.compared)
    monitor = monitors.create(session, check, new)
    for rule in plan.rules:
        more = Change(
            warn_severity=rule.warn_severity, for_windows=rule.for_windows, keep_firing=rule.keep_firing,
            min_n=rule.min_n, no_data=rule.no_data, is_inhibited=False,
        )  # fmt: skip
        create(session, monitor.id, parse(rule.text), rule.severity, more=more)


def _reference(seed: int) -> list[Row]:
    rng = Random(f"{seed}/reference")
    return [
        {
            "age": rng.gauss(40, 10),
            "job": rng.choice(["cook", "smith", "tailor"]),
            "visits": float(rng.randrange(20)),
            "_dc_prediction": (predicted := rng.choice(CLASSES)),
            "_dc_prediction_probabilities": [0.7, 0.3] if predicted == "0" else [0.2, 0.8],
            "_dc_label": predicted,
        }
        for _ in range(REFERENCE_ROWS)
    ]


def _document(rows: Sequence[Row]) -> bytes:
    return json.dumps({"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}).encode()
