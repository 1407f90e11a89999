"""Generated files are valid for the programs that read them, name only what exists, and have no secrets."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import replace
from datetime import timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import compose_spec
import kubernetes_validate
import promql_parser
import pytest
import yaml
from pydantic import SecretStr

from dcmon import setting_names
from dcmon.commands.generate import Shell
from dcmon.commands.operations import generate
from dcmon.commands.operations.generate import COMPLETION_FILES, Generated
from dcmon.commands.operations.generated_deployment import Deployment
from dcmon.commands.views import generate as view
from dcmon.errors import Conflict
from dcmon.file_errors import FileUnwritable
from dcmon.http.metrics import RequestMetrics
from dcmon.output import Output
from dcmon.settings import Health, Kafka, Settings, Smtp
from tests.helpers.paths import ROOT

METRIC = re.compile(r"\bdcmon_[a-z_]+")
SUFFIXES = re.compile(r"_(total|bucket|count|sum)$")
CANARY = "canary4711"
SETTINGS = Settings(
    database_url=SecretStr(f"postgresql://dcmon:{CANARY}@db/dcmon"), secret_keys=SecretStr(CANARY),
    kafka=Kafka(bootstrap_servers="kafka:9092"), smtp=Smtp(host="mail", password=SecretStr(CANARY)),
    health=Health(lag=timedelta(minutes=7), disk=0.1), public_url='https://dcmon.example/a"b$c',
)  # fmt: skip
DEPLOYMENT = generate.parse_deployment(SETTINGS, "registry.example/dcmon:1")


def text(generated: Generated) -> str:
    (content,) = generated.files.values()
    return content


def known_metrics() -> set[str]:
    """Return the names of the metrics that the code has, without the suffixes of counters and histograms."""
    code = "".join((ROOT / "dcmon" / "http" / name).read_text() for name in ("metrics.py", "system_metrics.py"))
    own = {metric.name for metric in RequestMetrics()._registry.collect()}
    return {SUFFIXES.sub("", name) for name in re.findall(r'"(dcmon_[a-z_]+)"', code)} | own


def expressions() -> Iterator[str]:
    for panel in json.loads(text(generate.grafana()))["panels"]:
        yield from (target["expr"].replace("$__rate_interval", "5m") for target in panel.get("targets", ()))
    for group in yaml.safe_load(text(generate.prometheus_rules(SETTINGS)))["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def test_expressions_parse_and_name_existing_metrics() -> None:
    known, used = known_metrics(), set[str]()
    for expression in expressions():
        promql_parser.parse(expression)
        used |= {SUFFIXES.sub("", name) for name in METRIC.findall(expression)}
    assert used - known == set()
    assert known - used == {"dcmon_organizations"}  # each other one is on the dashboard or in a rule


def test_dashboard_can_be_imported() -> None:
    """Panels have different ids, do not overlap and fit the grid; each reads the chosen data source."""
    dashboard = json.loads(text(generate.grafana()))
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) > 20
    for panel in panels:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
        assert panel["type"] in ("row", "stat", "timeseries")
        assert panel["type"] == "row" or {target["datasource"]["uid"] for target in panel["targets"]} == {
            "${datasource}"
        }
    for one, other in combinations([panel["gridPos"] for panel in panels], 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert is_beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    assert [variable["name"] for variable in dashboard["templating"]["list"]] == ["datasource", "organization"]


def test_rules_have_the_limits_of_the_settings() -> None:
    rules = {rule["alert"]: rule for group in yaml.safe_load(text(generate.prometheus_rules(SETTINGS)))["groups"]
             for rule in group["rules"]}  # fmt: skip
    assert rules["DcmonIngestionBehind"]["expr"].endswith("> 420")
    assert rules["DcmonDiskFull"]["expr"].endswith("< 0.1")
    for rule in rules.values():
        assert set(rule) - {"for"} == {"alert", "expr", "labels", "annotations"}
        assert re.fullmatch(r"\d+s", rule.get("for", "1s"))
        assert rule["labels"]["severity"] in ("warning", "critical")
        names = re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])
        assert all(f"by ({name})" in rule["expr"] for name in names)  # the label is left after the aggregation


def manifests() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(text(generate.kubernetes(DEPLOYMENT))))


def test_manifests_fit_the_schemas_of_kubernetes() -> None:
    for manifest in manifests():
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests()]
    assert len(set(names)) == len(names)
    parts = ("serve", "ingest", "evaluate", "notify", "scheduler")
    assert {name for kind, name in names if kind == "Deployment"} == {f"dcmon-{part}" for part in parts}
    assert sum(kind == "PodDisruptionBudget" for kind, _ in names) == 5
    for manifest in manifests():
        if manifest["kind"] in ("Deployment", "PodDisruptionBudget"):  # selectors find their own pods alone
            part = manifest["metadata"]["labels"]["app.kubernetes.io/component"]
            assert manifest["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] == part
        if manifest["kind"] == "Deployment":  # a probe of a worker would kill it for a fault of PostgreSQL
            (container,) = manifest["spec"]["template"]["spec"]["containers"]
            assert ("livenessProbe" in container) == (container["name"] == "serve")


def migration_job(deployment: Deployment) -> dict[str, Any]:
    (job,) = [one for one in yaml.safe_load_all(text(generate.kubernetes(deployment))) if one["kind"] == "Job"]
    return dict(job)


def test_each_image_has_a_migration_of_its_own() -> None:
    """A Job's template can't be changed: another one needs another name, and the same one the same name."""
    job, other = migration_job(DEPLOYMENT), migration_job(replace(DEPLOYMENT, image="registry.example/dcmon:2"))
    assert job["metadata"]["name"] == migration_job(DEPLOYMENT)["metadata"]["name"] != other["metadata"]["name"]
    assert re.fullmatch(r"dcmon-migrate-[a-z0-9-]{1,48}", job["metadata"]["name"])


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (8, 0), (7, 7), (3, 3)])
def test_partly_migrated_counts_as_migrated(code: int, expected: int, tmp_path: Path) -> None:
    """One organization that can't be migrated keeps no other from being served; all else fails as it did."""
    (tmp_path / "dcmon").write_text(f'#!/bin/sh\n[ "$1" = migrate ] && exit {code}\nexit 99\n')
    (tmp_path / "dcmon").chmod(0o755)
    own = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["migrate"]
    made = yaml.safe_load(text(generate.compose(DEPLOYMENT)))["services"]["migrate"]
    container = migration_job(DEPLOYMENT)["spec"]["template"]["spec"]["containers"][0]
    typed = [
        *([part.replace("$$", "$") for part in (*one["entrypoint"], *one["command"])] for one in (own, made)),
        [*container["command"], *container["args"]],
    ]
    path = f"{tmp_path}:/usr/bin:/bin"
    assert [subprocess.run(one, env={"PATH": path}, check=False).returncode for one in typed] == [expected] * 3
    assert "\nSuccessExitStatus=8\n" in units()["dcmon-migrate.service"]


def test_compose_file_fits_the_specification() -> None:
    content = text(generate.compose(DEPLOYMENT))
    interpolated = re.sub(r"\$\{\w+(?::-([^}]*)|:\?[^}]*)\}", lambda match: match[1] or "given", content)
    compose_spec.PyCompose.from_yaml(interpolated).to_spec()
    with pytest.raises(ValueError, match="comand"):
        compose_spec.PyCompose.from_yaml(interpolated.replace("command:", "comand:")).to_spec()
    services = yaml.safe_load(content)["services"]
    own = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert set(services) == set(own) - {"postgres", "kafka", "valkey"}
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
        assert service["environment"]["DCMON_PUBLIC_URL"] == 'https://dcmon.example/a"b$$c'


def units() -> dict[str, str]:
    return dict(generate.systemd(DEPLOYMENT).files)


def test_units_have_sections_and_known_workers() -> None:
    for name, content in units().items():
        if name.endswith(".env"):
            continue
        parser = ConfigParser(strict=False, interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(content)
        expected = ["Unit", "Install"] if name.endswith(".target") else ["Unit", "Service"]
        assert parser.sections() == expected
        if "Service" in parser:
            assert parser["Service"]["ExecStart"].startswith("/")
    wanted = re.findall(r"dcmon-worker@(\w+)\.service", units()["dcmon.target"])
    assert wanted == ["ingest", "evaluate", "notify", "scheduler"]


@pytest.mark.parametrize(
    ("program", "written"),
    [
        ("/usr/bin/dcmon", "/usr/bin/dcmon"), ("/opt/my tools/dcmon", '"/opt/my tools/dcmon"'),
        ("/opt/100%u/dcmon", "/opt/100%%u/dcmon"),
        ('/opt/a"b\nExecStartPre=x/dcmon', r'"/opt/a\"b\nExecStartPre=x/dcmon"'),
    ],
)  # fmt: skip
def test_path_of_the_program_is_one_word(program: str, written: str) -> None:
    files = dict(generate.systemd(replace(DEPLOYMENT, program=program)).files)
    assert f"\nExecStart={written} serve\n" in files["dcmon-serve.service"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="The sibling above parses the units by itself.")
def test_units_are_verified_by_systemd(tmp_path: Path) -> None:
    for name, content in units().items():
        (tmp_path / name).write_text(content.replace("User=dcmon\n", "").replace("@ingest", "@evaluate"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.glob("*.service")))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert [line for line in done.stderr.splitlines() if str(tmp_path) in line or "dcmon" in line] == []


def test_no_secret_is_generated_and_settings_are_known() -> None:
    generated = [generate.grafana(), generate.prometheus_rules(SETTINGS), generate.systemd(DEPLOYMENT),
                 generate.kubernetes(DEPLOYMENT), generate.compose(DEPLOYMENT)]  # fmt: skip
    contents = "".join(content for one in generated for content in one.files.values())
    assert CANARY not in contents
    known = {variable.name for variable in setting_names.variables(Settings)}
    compose_variables = {"DCMON_BIND", "DCMON_PORT"}
    assert set(re.findall(r"\bDCMON_[A-Z_]+", contents)) - known - compose_variables == set()
    for name in ("DCMON_SMTP__PASSWORD", "DCMON_DATABASE_URL", "DCMON_KAFKA__BOOTSTRAP_SERVERS"):
        assert name in units()["dcmon.env"]
        assert name in text(generate.kubernetes(DEPLOYMENT))
    assert 'DCMON_PUBLIC_URL="https://dcmon.example/a\\"b$c"' in units()["dcmon.env"]


@pytest.mark.parametrize("shell", Shell)
def test_completion_is_the_shells_own(shell: Shell) -> None:
    content = text(generate.completion(shell))
    assert "_DCMON_COMPLETE" in content
    if shutil.which(shell):
        subprocess.run([shell.value, "-n"], input=content, text=True, check=True)
    assert set(COMPLETION_FILES) == set(Shell)


def test_files_are_written_once_and_not_replaced_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = generate.grafana()
    written = made.write(tmp_path / "new", overwrite=False)
    assert written.written[0].read_text() == text(made)
    made.write(tmp_path / "new", overwrite=False)  # the same again
    written.written[0].write_text("mine")
    with pytest.raises(Conflict, match="--replace"):
        made.write(tmp_path / "new", overwrite=False)
    made.write(tmp_path / "new", overwrite=True)
    assert text(made) == text(generate.grafana())  # each time the same
    Output().page(view.files(made))
    assert json.loads(capsys.readouterr().out)["title"] == "dcmon"
    assert sys.executable.rpartition("/")[0] in units()["dcmon-serve.service"]


def test_file_that_can_not_be_read_or_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "dcmon-dashboard.json").mkdir()
    with pytest.raises(FileUnwritable, match=r"dcmon-dashboard\.json can't be written: Is a directory"):
        generate.grafana().write(tmp_path, overwrite=True)
