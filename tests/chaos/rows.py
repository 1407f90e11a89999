"""The rows of a run: each number always gives the same row."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

CLASSES = {"regression": None, "binary": ["0", "1"], "multiclass": ["ant", "bee", "cicada"]}
FEATURES = {"age": "numeric", "job": "categorical", "visits": "integer", "is_new": "boolean"}
ADDITIONAL = {"note": "text"}
SPREAD = timedelta(days=100)
Row = dict[str, Any]
NEVER_TAKEN = 2**30  # an id that no organization or version ever has


@dataclass(frozen=True)
class Model:
    """A model of an organization, with the organization's token.

    `relation` is part of the names of the model's tables.
    """

    org_id: int
    schema: str
    token: str
    task: str
    id: int
    relation: int


@dataclass(frozen=True)
class Target:
    """A version that gets samples, and the model that gets their labels."""

    model: Model
    version_id: int
    relation: int

    @property
    def task(self) -> str:
        return self.model.task


@dataclass(frozen=True)
class Poison:
    """A row that can't be stored, and the expected reason."""

    kind: str
    row: bytes
    reason: str


@dataclass(frozen=True)
class Rows:
    """Rows by number, equal in each run of a seed, spread over months before `now`."""

    seed: int
    now: datetime

    def sample(self, target: Target, number: int, variant: int = 0) -> Row:
        """Return sample `number`; another variant has the same id and other content."""
        rng = Random(f"{self.seed}/{target.version_id}/{number}/{variant}")
        time = self.now - SPREAD * rng.random()
        row: Row = {
            "_dc_sample_id": f"s{number}",
            "_dc_time": time.isoformat(),
            "_dc_prediction": rng.random() if target.task == "regression" else rng.choice(CLASSES[target.task] or []),
            "age": rng.choice([None, rng.random() * 90, float(number)]),
            "job": f'j{rng.randrange(1000)} ü\N{SNOWMAN}"\\',
            "visits": rng.randrange(-(2**31), 2**31),
            "is_new": rng.choice([True, False, None]),
        }
        if classes := CLASSES[target.task]:
            row["_dc_prediction_probabilities"] = [rng.random() for _ in classes]
        if rng.random() < 0.3:
            row["note"] = f"variant {variant}"
        return row

    def encoded(self, target: Target, number: int, variant: int = 0) -> bytes:
        """Return sample `number` as it is sent."""
        return json.dumps(self.sample(target, number, variant)).encode()

    def reworded(self, target: Target, number: int) -> bytes:
        """Return sample `number` in another encoding of the same content."""
        return json.dumps(dict(reversed(self.sample(target, number).items())), indent=1, ensure_ascii=False).encode()

    def value(self, target: Target, name: str, revision: int) -> Any:
        """Return the label of a sample, as it is sent and stored."""
        rng = Random(f"{self.seed}/{target.model.id}/{name}/{revision}")
        return rng.random() if target.task == "regression" else rng.choice(CLASSES[target.task] or [])

    def bad_sample(self, target: Target, number: int) -> Poison:
        """Return poison row `number`: a sample with one defect."""
        row = self.sample(target, number) | {"_dc_sample_id": f"p{number}"}
        spoil = SPOILT[number % len(SPOILT)]
        return spoil(row, self.now)

    def bad_label(self, number: int) -> Poison:
        """Return poison label `number`."""
        name = f"p{number}"
        row, reason = [
            ({"_dc_sample_id": name, "_dc_label": [number]}, "wrong_type"),
            ({"_dc_sample_id": name}, "missing_feature"),
            ({"_dc_sample_id": name, "_dc_label": None, "surprise": number}, "unknown_field"),
            ({"_dc_sample_id": [number], "_dc_label": None}, "wrong_type"),
        ][number % 4]
        return Poison("labels", json.dumps(row).encode(), reason)

    def bad_message(self, target: Target, number: int) -> bytes:
        """Return poison message `number`, whose content can't be stored."""
        fine = {
            "v": 1, "org": target.model.org_id, "kind": "samples", "target": target.version_id,
            "logged_at": self.now.isoformat(), "rows": [self.sample(target, number) | {"_dc_sample_id": f"p{number}"}],
        }  # fmt: skip
        spoilt: list[Mapping[str, Any]] = [
            {"v": 2},
            {"kind": "references"},
            {"org": NEVER_TAKEN},
            {"target": NEVER_TAKEN},
            {"logged_at": "2026-01-01T00:00:00"},
            {"rows": {"number": number}},
        ]
        message = json.dumps({**fine, **spoilt[number % 6]}).encode()
        return message if number % 7 else message[:-1]


def _spoilt(reason: str, **fields: Any) -> Callable[[Row, datetime], Poison]:
    return lambda row, _: Poison("samples", json.dumps({**row, **fields}).encode(), reason)


def _without(field: str) -> Callable[[Row, datetime], Poison]:
    def spoil(row: Row, _: datetime) -> Poison:
        fields = {name: value for name, value in row.items() if name != field}
        return Poison("samples", json.dumps(fields).encode(), "missing_feature")

    return spoil


def _in_the_future(row: Row, now: datetime) -> Poison:
    time = (now + timedelta(days=30)).astimezone(UTC).isoformat()
    return Poison("samples", json.dumps({**row, "_dc_time": time}).encode(), "future_timestamp")


def _too_long(row: Row, _: datetime) -> Poison:
    return Poison("samples", json.dumps({**row, "_dc_sample_id": row["_dc_sample_id"] * 1025}).encode(), "too_long")


def _a_list(row: Row, _: datetime) -> Poison:
    return Poison("samples", json.dumps([row["_dc_sample_id"]]).encode(), "wrong_type")


def _of_no_class(row: Row, _: datetime) -> Poison:
    reason = "unknown_class" if isinstance(row["_dc_prediction"], str) else "wrong_type"
    return Poison("samples", json.dumps({**row, "_dc_prediction": "dragonfly"}).encode(), reason)


SPOILT: list[Callable[[Row, datetime], Poison]] = [
    _without("age"), _without("_dc_prediction"), _without("_dc_sample_id"),
    _spoilt("wrong_type", age="old"), _spoilt("wrong_type", visits=1.5), _spoilt("wrong_type", _dc_time="yesterday"),
    _spoilt("nul_character", job="a\0b"), _spoilt("unknown_field", surprise=1),
    _spoilt("out_of_range", visits=2**31), _spoilt("out_of_range", _dc_time="1950-01-01T00:00:00Z"),
    _spoilt("malformed", age=math.nan), _spoilt("malformed", job="\ud800"),
    _of_no_class, _in_the_future, _too_long, _a_list,
]  # fmt: skip
