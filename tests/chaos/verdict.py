"""Compares the generator's record with the tables: no row lost, duplicated or added."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from dcmon.storage.sample_ids import key_of
from tests.chaos.book import AcceptedRows, SentLabel
from tests.chaos.rows import Model, Rows, Target

SHOWN = 20
HIDDEN = ("_dc_key", "_dc_hash", "_dc_level", "_dc_logged_at")
SAME_MOMENT = 0.005  # seconds: Kafka's time has milliseconds


@dataclass
class Verdict:
    """Rows that are lost, stored twice or stored differently than sent; and counts."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def is_well(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)

    def __str__(self) -> str:
        faults = {"lost": self.lost, "doubled": self.doubled, "wrong": self.wrong}
        return "\n".join(f"{name}: {message}" for name, messages in faults.items() for message in messages[:SHOWN])

    def expect(self, subject: str, wanted: Mapping[Any, Any], stored: Counter[Any]) -> None:
        """Require each wanted item exactly once and no other item."""
        self.lost += [f"{subject} {item}" for item in wanted if not stored[item]]
        self.doubled += [f"{subject} {item}: {number} times" for item, number in stored.items() if number > 1]
        self.wrong += [f"{subject} {item} was never sent" for item in stored if item not in wanted]


class Judge:
    """Reads the tables with its own client."""

    def __init__(self, url: str, book: AcceptedRows, rows: Rows) -> None:
        self.url, self.book, self.rows = url, book, rows

    def wait(self, longest: float, meanwhile: Callable[[float], None], step: float = 1.0) -> None:
        """Wait until all acknowledged rows are stored, or `longest` seconds bring no progress."""
        best, ends = -1, time.monotonic() + longest
        while (stored := self.count_stored()) < self.wanted and time.monotonic() < ends:
            if stored > best:
                best, ends = stored, time.monotonic() + longest
            meanwhile(time.monotonic())
            time.sleep(step)

    @property
    def wanted(self) -> int:
        """The expected count of samples, labels, waiting labels, bad rows and dead letters."""
        samples = sum(len(numbers) + len(self._labels(target)) for target, numbers in self.book.samples.items())
        bad = len(self.book.poison) + len(self._conflicts()) + len(self.book.messages)
        return samples + bad + sum(len(self._waiting(model)) for model in self.book.labels)

    def count_stored(self) -> int:
        """Count the stored samples, labels, waiting labels, bad rows and dead letters."""
        tables = [f"{target.model.schema}.{kind}_{target.relation}" for target in self.book.samples for kind in SHELVES]
        tables += [f"{schema}.quarantine" for schema in {target.model.schema for target in self.book.samples}]
        tables.append("public.dead_letters where sent_at is not null")
        counts = " + ".join(f"(select count(*) from {table})" for table in tables)
        with psycopg.connect(self.url) as connection:
            ((count,),) = connection.execute(f"select {counts}".encode()).fetchall()
        return int(count) + sum(len(self._stored_waiting(model)) for model in self.book.labels)

    def judge(self) -> Verdict:
        """Judge everything that was acknowledged."""
        verdict = Verdict(counts=Counter(self.book.counts))
        verdict.wrong += self.book.faults
        for target, numbers in self.book.samples.items():
            with self._open(target.model) as connection:
                self._judge_samples(verdict, connection, target, numbers)
                self._judge_labels(verdict, connection, target)
        for model in self.book.labels:
            self._judge_waiting(verdict, model)
        self._judge_quarantine(verdict)
        self._judge_dead_letters(verdict)
        self._count(verdict)
        return verdict

    @contextmanager
    def _open(self, model: Model | None) -> Iterator["psycopg.Connection[dict[str, Any]]"]:
        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            path = model.schema if model else "public"
            connection.execute("select set_config('search_path', %s, false)", [path])
            yield connection

    def _judge_samples(self, verdict: Verdict, connection: Any, target: Target, numbers: dict[int, set[int]]) -> None:
        stored = Counter[str]()
        with connection.cursor("samples") as cursor:
            for row in cursor.execute(f"select * from samples_{target.relation}".encode()):
                name = row["_dc_sample_id"]
                stored[name] += 1
                variants = numbers.get(int(name[1:]), set())
                if not any(_is_same(self.rows.sample(target, int(name[1:]), variant), row) for variant in variants):
                    verdict.wrong.append(f"sample {name} of version {target.version_id}: {row}")
        verdict.expect(f"version {target.version_id}: sample", {f"s{number}": None for number in numbers}, stored)
        verdict.counts["samples"] += stored.total()

    def _labels(self, target: Target) -> dict[str, Sequence[SentLabel]]:
        """Return the sent labels of samples that the version has."""
        labels, numbers = self.book.labels[target.model], self.book.samples[target]
        return {f"s{number}": labels[f"s{number}"] for number in numbers if f"s{number}" in labels}

    def _judge_labels(self, verdict: Verdict, connection: Any, target: Target) -> None:
        wanted, stored = self._labels(target), Counter[str]()
        with connection.cursor("labels") as cursor:
            for row in cursor.execute(_labels_of(target).encode()):
                stored[row["name"]] += 1
                _judge_label(verdict, f"version {target.version_id}: label of", row, wanted.get(row["name"], ()))
        verdict.expect(f"version {target.version_id}: label of", wanted, stored)
        verdict.counts["labels"] += stored.total()

    def _waiting(self, model: Model) -> dict[bytes, Sequence[SentLabel]]:
        """Return the labels whose sample was never sent, by the key of the sample id."""
        known = {f"s{n}" for target, all_ in self.book.samples.items() if target.model == model for n in all_}
        return {key_of(name): labels for name, labels in self.book.labels[model].items() if name not in known}

    def _stored_waiting(self, model: Model) -> list[dict[str, Any]]:
        query = f"select k as name, label from orphan_labels_{model.relation} where k = any(%s::uuid[])"
        with self._open(model) as connection:
            return connection.execute(query.encode(), [[key.hex() for key in self._waiting(model)]]).fetchall()

    def _judge_waiting(self, verdict: Verdict, model: Model) -> None:
        wanted, stored = self._waiting(model), self._stored_waiting(model)
        for row in stored:
            _judge_label(verdict, f"model {model.id}: waiting", row, wanted[row["name"].bytes])
        verdict.expect(f"model {model.id}: waiting label", wanted, Counter(row["name"].bytes for row in stored))

    def _conflicts(self) -> dict[tuple[Model, int, str], tuple[bytes, ...]]:
        """Return samples sent with several contents; all but the first are quarantined."""
        return {
            (target.model, target.version_id, f"s{number}"): tuple(
                self.rows.encoded(target, number, variant) for variant in variants
            )
            for target, numbers in self.book.samples.items()
            for number, variants in numbers.items()
            if len(variants) > 1
        }

    def _judge_quarantine(self, verdict: Verdict) -> None:
        conflicts, stored = self._conflicts(), Counter[Any]()
        model_versions = {(target.model, target.version_id) for target in self.book.samples}
        for model in {model for model, _ in model_versions}:
            with self._open(model) as connection:
                query = "select version_id, sample_id, kind, reason, row from quarantine where model_id = %s"
                for row in connection.execute(query, [model.id]):
                    self._judge_bad(verdict, model, row, conflicts, stored)
        wanted = dict.fromkeys([*self.book.poison, *conflicts])
        verdict.expect("in quarantine:", wanted, stored)
        verdict.counts["quarantined"] += stored.total()

    def _judge_bad(self, verdict: Verdict, model: Model, row: Any, conflicts: Any, stored: Counter[Any]) -> None:
        """Count a quarantined row as the poison or the conflict that was sent."""
        contested = (model, row["version_id"], row["sample_id"])
        if row["reason"] == "conflict" and row["row"] in conflicts.get(contested, ()):
            stored[contested] += 1
            return
        sent = (model, row["version_id"], row["row"])
        stored[sent] += 1
        bad = self.book.poison.get(sent)
        if bad is not None and (bad.kind, bad.reason) != (row["kind"], row["reason"]):
            verdict.wrong.append(f"{bad} is in quarantine as {row}")

    def _judge_dead_letters(self, verdict: Verdict) -> None:
        with self._open(None) as connection:
            rows = connection.execute("select body, reason, sent_at from dead_letters").fetchall()
        verdict.expect("dead letter", dict.fromkeys(self.book.messages), Counter(row["body"] for row in rows))
        verdict.wrong += [f"dead letter {row['body']!r} was not sent on" for row in rows if row["sent_at"] is None]
        verdict.counts["dead"] += len(rows)

    def _count(self, verdict: Verdict) -> None:
        """Add the sums of the ledger to the counts."""
        for model in {target.model.schema: target.model for target in self.book.samples}.values():
            with self._open(model) as connection:
                row = connection.execute("select sum(taken) as taken, sum(duplicates) as duplicates from batches")
                for name, number in (row.fetchone() or {}).items():
                    verdict.counts[name] += int(number or 0)


SHELVES = ("samples", "labels")


def _labels_of(target: Target) -> str:
    return (
        f"select s._dc_sample_id as name, l.label from labels_{target.relation} l"
        f" join samples_{target.relation} s on s._dc_key = l.k and s._dc_time = l.ts"
    )


def _is_same(sent: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """True if a stored row equals the sent one and is null in other columns."""
    time = datetime.fromisoformat(sent["_dc_time"])
    own = {name: value for name, value in row.items() if name not in HIDDEN}
    return own == dict.fromkeys(own) | {**sent, "_dc_time": time}


def _judge_label(verdict: Verdict, subject: str, row: Mapping[str, Any], labels: Sequence[SentLabel]) -> None:
    """Require the label logged last; among overlapping labels any may be last."""
    latest = max((label.after for label in labels), default=0.0)
    allowed = {label.value for label in labels if label.before >= latest - SAME_MOMENT}
    if row["label"] not in allowed:
        verdict.wrong.append(f"{subject} {row['name']} is {row['label']}, not {allowed}")
