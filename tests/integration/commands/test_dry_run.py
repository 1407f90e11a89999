"""A dry run of each changing command says what would change, and changes nothing."""

import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from dcmon.app import App
from tests.conftest import Acme
from tests.helpers.command_tree import leaves, options
from tests.helpers.installed import Dcmon
from tests.helpers.judged_results import store_and_judge
from tests.helpers.populated import populate
from tests.integration.conftest import Target

# An example of each command with --dry-run on an organization with an object of each kind.
EXAMPLES = {
    "adopt": None,  # needs a database of the old system; tests/integration/adoption has it
    "alert ack": "3",
    "alert reopen": "2",
    "alert resolve": "3",
    "apply": None,  # needs a file; tests/integration/declarations has it
    "backup create": "{files}/backup.tar.gz --without-secrets",
    "backup restore": None,  # needs an empty database; tests/integration/commands/test_transfer.py has it
    "dead-letter delete": "--all",
    "dead-letter retry": None,  # needs a broker
    "down": "--purge",
    "ingest file": "{files}/rows.csv --model credit --version v1",
    "ingest seek": None,  # needs a broker; tests/integration/ingestion has it
    "invitation delete": "new@acme.example",
    "member create": "new@acme.example",
    "member delete": "viewer@acme.example",
    "member invite": "other@acme.example",
    "member restrict": "own",
    "member set": "viewer@acme.example --role admin",
    "migrate": "",
    "model copy": "credit loans --with-reference",
    "model create": "fraud --task binary --version v1 --feature age:numeric",
    "model delete": "credit",
    "model rename": "credit loans",
    "model set": "credit --time-zone Europe/Berlin",
    "model set-defaults": "credit all",
    "model set-retention": "credit 1d",
    "monitor backfill": "credit/Drift --from 2026-03-01",
    "monitor copy": "credit/Drift Other",
    "monitor create": "Ages --model credit --check FeatureDrift --rule '> 0.2'",
    "monitor delete": "credit/Drift",
    "monitor run": "credit/Drift --from 2026-03-01 --to 2026-03-05",
    "monitor rename": "credit/Drift Other",
    "monitor set": "credit/Drift --frequency WEEK",
    "mute create": "days --hours 08:00-09:00",
    "mute delete": "nights",
    "mute rename": "nights quiet",
    "mute set": "nights --hours 21:00-07:00",
    "receiver pause": "team",
    "receiver resume": "team",
    "notification retry": "--all-dead",
    "org create": "beta",
    "org delete": "acme",
    "org export": "acme {files}/acme.tar.gz --without-secrets",
    "org import": None,  # needs a file of `org export`; tests/integration/transfer has it
    "org rename": "acme acme2",
    "org set": "acme --max-models 5 --samples 1d --defaults sdk",
    "profile delete": None,  # changes a file; tests/unit/test_profiles.py has it
    "profile rename": None,
    "profile set": None,
    "profile use": None,
    "prune": "",
    "quarantine delete": "--all",
    "quarantine retry": "--all",
    "reference delete": "--model credit --version v1",
    "reference load": "{files}/rows.csv --model credit --version v1 --ignore-extra",
    "rule create": "credit/Drift '> 0.1' --no-noise",
    "rule delete": "1",
    "rule set": "1 --inactive",
    "sample delete": "--model credit --from 2026-03-01 --to 2026-04-01",
    "secret-key rotate": None,  # needs keys; test_secret_key has it
    "silence create": "model=credit --for 4h",
    "silence delete": "1",
    "silence set": "1 --for 8h",
    "model set-path": None,  # need keys of S3; tests of sources have them
    "source delete-keys": None,
    "source set-keys": None,
    "source create": "lake {files} --model credit --version v1",
    "source delete": "files",
    "source rename": "files others",
    "source resume": "files",
    "source scan": "files",
    "source set": "files --delimiter ;",
    "token create": "ci",
    "token delete": "first",
    "token rename": "first second",
    "token import": "{files}/tokens.txt",
    "version copy": "credit v1 v9",
    "version delete": "credit v2",
    "version rename": "credit v1 v0",
    "receiver create": "other https://hooks.example.org/y",
    "receiver delete": "team",
    "receiver rename": "team others",
    "receiver rotate": "team",
    "receiver set": "team --cap 5",
    "receiver test": "team",
}
WITH_DRY_RUN = sorted(name for name, command in leaves().items() if "--dry-run" in options(command))
EXIT_CODES = {"monitor run": 8, "quarantine retry": 8}  # which say what a rule or the rows are like
WITHOUT_ROWS = ("migrate", "prune")  # there is nothing to migrate or to delete
WITHOUT_CHANGE = {
    *WITHOUT_ROWS,
    "dead-letter delete",
    "down",
    "notification retry",
    "quarantine retry",
    "source resume",
}
# A few that change different tables; each is run after its dry run.
COUNTED = [
    "alert ack", "alert resolve", "monitor set", "rule set", "silence set", "silence delete", "mute set",
    "receiver set", "token delete", "member set", "receiver pause", "model rename", "mute create",
]  # fmt: skip


@pytest.fixture
def dcmon(
    with_url: Callable[[str], Dcmon], database_url: str, acme: Acme, app: App, target: Target, tmp_path: Path
) -> Dcmon:
    """Return dcmon on a database in which organization acme has an object of each kind; alert 2 is resolved."""
    populate(app, target, acme.token)
    run = with_url(database_url)
    row = {"_dc_sample_id": "new", "_dc_time": "2026-03-02T10:00:00Z", "_dc_prediction": "1", "age": 30, "job": "j1"}
    (tmp_path / "rows.csv").write_text(",".join(row) + "\n" + ",".join(map(str, row.values())) + "\n")
    os.utime(tmp_path / "rows.csv", (1e9, 1e9))  # a scan waits while a file may still be written
    (tmp_path / "tokens.txt").write_text("owner@acme.example,$2b$12$" + "a" * 53 + "\n")
    for command in (
        "mute create nights --hours 22:00-06:00", "silence create model=credit --for 4h",
        f"source create files {tmp_path} --model credit --version v1", "alert resolve 2 --yes",
    ):  # fmt: skip
        done = run(*command.split())
        assert done.returncode == 0, done.stderr
    store_and_judge(target, 5, 0.9)  # opens alert 3
    return run


def contents(engine: Engine) -> dict[str, list[str]]:
    """Return all rows of all tables, but those in which only the time of a login changes."""
    query = "select schemaname, tablename from pg_tables where schemaname = 'public' or schemaname like 'org_%'"
    with engine.connect() as connection:
        tables = sorted(f"{schema}.{table}" for schema, table in connection.execute(text(query)))
        return {
            table: sorted(connection.scalars(text(f"select to_jsonb(t)::text from {table} t")).all())
            for table in tables
        }


def words(name: str, files: Path) -> list[str]:
    return [*name.split(), *shlex.split((EXAMPLES[name] or "").format(files=files))]


def test_every_dry_run_has_an_example() -> None:
    assert set(WITH_DRY_RUN) - set(EXAMPLES) == set(), "Add an example of the command to EXAMPLES."
    assert set(EXAMPLES) - set(WITH_DRY_RUN) == set(), "Remove what no command has from EXAMPLES."


def unmarked(name: str, printed: str, said: str) -> str | None:
    """Return what is missing in the output of a dry run: the field in each row, and one sentence that says all."""
    data = json.loads(printed)
    rows = [data] if isinstance(data, dict) else data
    if not all(row.get("dry_run") is True for row in rows) or (not rows and name not in WITHOUT_ROWS):
        return "a row has no field dry_run"
    nothing, something = "Dry run: nothing would change.", r"^Dry run: this would .+\. Nothing was changed\.$"
    sentences = re.findall(something, said, re.MULTILINE) + [nothing] * said.count(nothing)
    if len(sentences) != 1 or (sentences == [nothing]) != (name in WITHOUT_CHANGE):
        return "it is not said once what would change"
    return None


def require_no_change(dcmon: Dcmon, engine: Engine, names: list[str], files: Path) -> None:
    before, failures = contents(engine), list[str]()
    for name in names:
        done = dcmon("-o", "json", *words(name, files), "--dry-run")
        if done.returncode != EXIT_CODES.get(name, 0):
            failures.append(f"{name}: exit {done.returncode} {done.stdout} {done.stderr}")
        elif (problem := unmarked(name, done.stdout, done.stderr)) is not None:
            failures.append(f"{name}: {problem} {done.stdout} {done.stderr}")
        after = contents(engine)
        failures += [f"{name} changed {table}" for table in after if after[table] != before.get(table)]
        before = after
    assert not failures, "\n".join(failures)


@pytest.mark.thorough
def test_no_dry_run_changes_anything(dcmon: Dcmon, engine: Engine, tmp_path: Path) -> None:
    require_no_change(dcmon, engine, [name for name in WITH_DRY_RUN if EXAMPLES.get(name) is not None], tmp_path)


def test_some_dry_runs_change_nothing(dcmon: Dcmon, engine: Engine, tmp_path: Path) -> None:
    names = ["alert resolve", "monitor run", "monitor set", "org create", "silence delete", "receiver rotate"]
    require_no_change(dcmon, engine, names, tmp_path)


def changed(before: dict[str, list[str]], after: dict[str, list[str]], table: str) -> int:
    """Return how many rows of a table of the organization were added, changed or removed."""
    name = next(known for known in before if known.partition(".")[2] == table)
    was, now = set(before[name]), set(after[name])
    return max(len(was - now), len(now - was))


def test_counts_of_a_dry_run_are_those_of_the_change(dcmon: Dcmon, engine: Engine, tmp_path: Path) -> None:
    for name in COUNTED:
        counted = json.loads(dcmon("-o", "json", *words(name, tmp_path), "--dry-run").stdout)["effects"]
        before = contents(engine)
        done = dcmon(*words(name, tmp_path), *(["--yes"] if "--yes" in options(leaves()[name]) else []))
        assert done.returncode == 0, done.stderr
        after = contents(engine)
        assert counted, name
        for table, kinds in counted.items():
            rows = sum(kinds.values())
            assert rows == changed(before, after, table), f"{name}: {table}"


def test_dry_run_of_a_scan_has_the_counts_of_the_scan(dcmon: Dcmon) -> None:
    """A load has several transactions, of which a later one does not see what an earlier one would have stored."""
    tried = dcmon.json("source", "scan", "files", "--dry-run")
    scanned = dcmon.json("source", "scan", "files")
    assert [row.pop("dry_run") for row in tried] == [True]
    assert tried == scanned
    assert scanned[0]["stored"] == 1


def test_change_that_ends_alerts_asks(dcmon: Dcmon, target: Target) -> None:
    """Without a terminal it ends with 2 and says what it would do; nothing is changed."""
    refused = dcmon("monitor", "set", "credit/Drift", "--frequency", "WEEK")
    assert refused.returncode == 2
    assert "This would end 1 alert" in refused.stderr
    assert "add --yes to confirm" in refused.stderr
    assert target.scalar("select count(*) from alerts where state = 'firing'") == 1
    assert dcmon("monitor", "set", "credit/Drift", "--description", "of the features").returncode == 0
    assert dcmon("alert", "resolve", "3").returncode == 2
    assert dcmon("receiver", "rotate", "team").returncode == 2
    asked = dcmon("token", "delete", "first")
    assert (asked.returncode, "Delete 'first'? From then on, its clients get 401." in asked.stderr) == (2, True)
    assert dcmon("token", "delete", "first", "--yes").returncode == 0


def test_dry_run_shows_no_secret(dcmon: Dcmon) -> None:
    shown = json.loads(dcmon("-o", "json", "token", "create", "ci", "--dry-run").stdout)
    assert shown["dry_run"] is True
    assert {"token", "prefix"} & {*shown} == set()
    assert shown["effects"] == {"tokens": {"added": 1}}
    shown_text = dcmon("receiver", "rotate", "team", "--dry-run")
    assert "\nsecret " not in shown_text.stdout
    assert "Dry run: this would change 1 receiver. Nothing was changed." in shown_text.stderr
