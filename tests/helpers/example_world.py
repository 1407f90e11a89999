"""A world in which the example of each command's `--help` does what it says: an organization, files and profiles.

The names are those of the examples: organization acme, model credit, receiver team, files may.csv.gz and so on.
"""

import contextlib
import gzip
import json
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet
from pydantic import SecretStr
from sqlalchemy import text

from dcmon.alerting import rules
from dcmon.app import App
from dcmon.db import encryption
from dcmon.output import Output
from dcmon.settings import Settings
from tests.conftest import Acme
from tests.helpers import valued_model
from tests.helpers.command_line import dcmon
from tests.helpers.installed import COMMAND, restore_ctrl_c
from tests.helpers.judged_results import create_rule, store_and_judge
from tests.helpers.s3_server import KEY, SECRET
from tests.helpers.waiting import eventually
from tests.integration.conftest import Target, new_target

HEADER = "_dc_sample_id,_dc_time,_dc_prediction,age,job\n"
# Commands that make the rest of the world, after the model and its alerts.
COMMANDS = (
    'monitor create "Prediction Drift" --model credit --check PredictionDrift --rule "> 0.3"',
    'monitor create "Mixed Nulls" --model credit --check MixedNulls',
    "source create lake {files}/watched --model credit --ignore-extra",
    "mute create nights --hours 22:00-06:00",
    "silence create model=credit --for 4h",
    "silence create model=credit --for 8h",
    "member create ann@acme.org --role viewer",
    "token create scoring",
    "profile set prod org=acme",
    "profile set staging org=acme",
)
# Ids that the examples name, where PostgreSQL chooses them.
NOTIFICATION, TOPIC = "3f2a9c1e-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000001"
IDS = """
update quarantine set id = 17 where id = (select min(id) from quarantine);
update notifications set id = :notification, dead_at = now()
    where id = (select id from notifications order by position limit 1);
update public.tokens set prefix = 'dcm_Ab3dE6gH9k' where name = 'scoring';
insert into public.dead_letters (id, topic, topic_id, partition, at_offset, body, reason) overriding system value values
    (17, 'dcmon.samples', :topic, 0, 4, :message, 'there has never been a version'),
    (18, 'dcmon.samples', :topic, 0, 5, 'not json', 'no valid JSON')
"""
RULES = """
tests:
  - name: one violated day
    rule: "> 0.3"
    series: 0.1 0.4
    expect: inactive firing:medium
"""


@dataclass(frozen=True)
class World:
    """A directory with files, and a database."""

    files: Path
    url: str
    settings: Mapping[str, str]

    @property
    def environment(self) -> dict[str, str]:
        return {**self.settings, "XDG_CONFIG_HOME": str(self.files / "configuration")}

    def __call__(self, command: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Run a command, typed as in the examples, in the directory."""
        settings = {**self.environment, **more}
        with contextlib.chdir(self.files):
            return dcmon(*shlex.split(command), data_dir=self.files / "data", url=self.url, **settings)

    @contextmanager
    def started(self, command: str, fact: str, **more: str) -> "Iterator[subprocess.Popen[str]]":
        """Run a command that does not end by itself, and yield when it has printed the fact; end it with Ctrl-C."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("DCMON_")}
        own = {"DCMON_DATA_DIR": str(self.files / "data"), "DCMON_DATABASE_URL": self.url}
        printed = self.files / "printed.txt"
        with printed.open("w") as output:
            process = subprocess.Popen(
                [COMMAND, *shlex.split(command)], env={**inherited, **own, **self.environment, **more}, cwd=self.files,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, text=True, preexec_fn=restore_ctrl_c,
            )  # fmt: skip
        try:
            assert eventually(lambda: fact in printed.read_text() or process.poll() is not None)
            assert fact in printed.read_text(), f"{command}: {printed.read_text()}"
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()

    def copy(self, url: str, files: Path) -> "World":
        """Return a world with a copy of the files, on a copy of the database."""
        shutil.copytree(self.files, files)
        return World(files, url, self.settings)


def create(url: str, files: Path, acme: Acme, settings: Mapping[str, str]) -> World:
    """Fill organization acme in a migrated database, and a directory. Alerts 1 and 2 fire."""
    world = World(files, url, {**settings, "DCMON_SECRET_KEYS": encryption.new_key(), "COLUMNS": "80"})
    _write_files(files)
    with App(Settings(database_url=SecretStr(url), data_dir=files / "data"), Output(quiet=True)) as app:
        target = new_target(app.engine, acme.org)
        _fill_model(app, target)
        run_all(world, COMMANDS)
        row = json.loads(_row("late", "2026-11-02T10:00:00Z"))
        message = {"v": 1, "org": acme.org.id, "kind": "samples", "target": target.version_id, "rows": [row]}
        values = {"notification": NOTIFICATION, "topic": TOPIC, "message": json.dumps(message).encode()}
        with app.engine.begin() as connection:
            connection.execute(text(f"set local search_path to {acme.org.schema}, public"))
            for statement in IDS.split(";\n"):
                connection.execute(text(statement), {name: values[name] for name in values if f":{name}" in statement})
    (files / "monitoring.yaml").write_text(world("export").stdout)
    return world


def run_all(world: World, commands: Sequence[str]) -> None:
    """Run commands that must succeed."""
    for command in commands:
        done = world(command.format(files=world.files))
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def _row(sample_id: str, time: str, age: object = 30) -> bytes:
    row = {"_dc_sample_id": sample_id, "_dc_time": time, "_dc_prediction": "1", "age": age, "job": "j1"}
    return json.dumps(row | {"_dc_prediction_probabilities": [0.5, 0.5]}).encode()


def _fill_model(app: App, target: Target) -> None:
    create_rule(target, "> 0.2")
    with app.org(target.org) as session:
        rules.create(session, 1, rules.parse("> 0.25"), "medium")
    valued_model.fill(app, target, days=2)
    store_and_judge(target, 0, 0.5)
    stored = [_row("17", "2026-11-02T10:00:00Z"), _row("17", "2026-11-02T10:00:00Z", 31)]
    for row in [*stored, _row("18", "2026-11-02T10:00:00Z", "old")]:
        app.ingestion.ingest_samples(target.org, target.version_id, [row])


def _write_files(files: Path) -> None:
    """Write the files that examples read."""

    def csv(name: str, day: int) -> bytes:
        return (HEADER + f"{name},2026-05-{day:02}T10:00:00Z,1,30,j1\n").encode()

    for directory in ("in", "lake/scores", "watched", "data/logs"):
        (files / directory).mkdir(parents=True)
    (files / "may.csv.gz").write_bytes(gzip.compress(csv("may", 1)))
    for number, name in enumerate(("in/2026-05.csv", "lake/scores/a.csv", "watched/b.csv"), start=2):
        (files / name).write_bytes(csv(name, number))
        os.utime(files / name, (1e9, 1e9))  # a scan waits while a file may still be written
    lines = (f"o{n},2026-10-{n % 28 + 1:02}T10:00:00Z,{n % 2},{n % 60},j{n % 3},{n % 2}\n" for n in range(60))
    (files / "october.csv").write_text("id,time,prediction,age,job,defaulted\n" + "".join(lines))
    columns = {"_dc_prediction": ["0", "1"], "age": [30.0, 40.0], "job": ["j0", "j1"], "_dc_label": ["0", "1"]}
    parquet.write_table(pa.table(columns), files / "training.parquet")
    (files / "tokens.txt").write_text("owner@acme.example,$2b$12$" + "a" * 53 + "\n")
    (files / "keys.ini").write_text(f"[acme]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    (files / "rules.yaml").write_text(RULES)
    for part in ("evaluate", "notify"):
        line = {"time": datetime.now(UTC).isoformat(), "level": "warning", "message": "a receiver refuses"}
        (files / "data" / "logs" / f"{part}.log").write_text(json.dumps(line) + "\n")
