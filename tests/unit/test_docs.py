"""The docs agree with the code: settings, commands, links and the compose file."""

import re
import shlex
from datetime import timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from dcmon import durations, errors, setting_names
from dcmon.ingestion.rejected_row import RejectionReason
from dcmon.settings import Settings
from dcmon.tenancy import audit_log
from tests.helpers.paths import ROOT
from tests.helpers.typed_commands import parse

# Typer has its own copy of click or uses the installed one, depending on its version.
UsageError: Any = typer.BadParameter.__base__
LACKS = ("MissingParameter", "BadOptionUsage", "NoArgsIsHelpError")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def settings() -> list[tuple[str, str, str]]:
    """Variable, default and description of every setting."""
    described = []
    for name, _, field in setting_names.variables(Settings):
        default = "" if field.default is None or field.default_factory else _text_of(field.default)
        described.append((name, default, field.description or ""))
    return described


def _text_of(default: object) -> str:
    return durations.to_text(default) if isinstance(default, timedelta) else str(default)


def test_every_setting_is_in_the_table_with_its_default() -> None:
    page, _, _ = (ROOT / "docs" / "settings.md").read_text().partition("## Old names")
    rows = [f"| `{name}` | {default or '—'} | {description} |" for name, default, description in settings()]
    missing = [row for row in rows if row not in page]
    assert missing == []
    assert page.count("| `DCMON_") == len(rows)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_have_a_target(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def words_of(line: str) -> list[str]:
    """Return the arguments that a shell would pass to dcmon."""
    tokens = shlex.split(line, comments=True)[1:]
    return list(takewhile(lambda word: word not in ("|", "||", ">", "&&"), tokens))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_docs_can_be_parsed(page: Path) -> None:
    shown = "\n".join(re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)).replace("\\\n", " ")
    for line in re.findall(r"^(?:\$ )?(dcmon .*)", shown, re.MULTILINE):
        try:
            parse(words_of(line))
        except typer.Exit:  # --version
            pass
        except UsageError as error:
            pytest.fail(f"{page.name} says {line}: {error.message}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_docs_name_only_commands_and_options_that_exist(page: Path) -> None:
    """In running text, a command may lack required arguments or have a part left out (…)."""
    sentences = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for line in re.findall(r"`(dcmon [^`|]*)`", sentences):
        try:
            parse(words_of(line))
        except typer.Exit:
            pass
        except UsageError as error:
            if type(error).__name__ not in LACKS and "…" not in line:
                pytest.fail(f"{page.name} says {line}: {error.message}")


def test_every_exit_code_of_an_error_is_explained() -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    known = {
        member.exit_code
        for member in vars(errors).values()
        if isinstance(member, type) and issubclass(member, Exception)
    }
    for code in known | {0, 1, 8, 130}:
        assert re.search(rf"^\| {code} \|", page, re.MULTILINE)


def test_every_quarantine_reason_is_explained() -> None:
    table = (ROOT / "docs" / "http.md").read_text().partition("| reason |")[2].partition("\n\n")[0]
    message = [name for line in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])]
    assert sorted(message) == sorted(RejectionReason)


def compose() -> dict[str, Any]:
    compose_file: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return compose_file


def test_every_kind_of_the_audit_log_is_explained() -> None:
    page = (ROOT / "docs" / "audit-log.md").read_text()
    assert {kind for kind in audit_log.kinds() if f"`{kind}`" not in page} == set()


def test_compose_file_runs_every_process() -> None:
    services = compose()["services"]
    commands = {
        tuple(service["command"]) for service in services.values() if service.get("image", "").startswith("dcmon")
    }
    workers = {("worker", "start", name) for name in ("ingest", "evaluate", "notify", "scheduler")}
    assert commands == {("serve",), ("migrate",), *workers}
    assert {name for name, definition in services.items() if "healthcheck" in definition} == {
        "postgres",
        "kafka",
        "valkey",
        "serve",
    }
    for name, service_definition in services.items():
        for needed in service_definition.get("depends_on", {}):
            assert needed in services, f"{name} depends on {needed}"


def test_compose_file_sets_known_settings_and_no_password() -> None:
    """The settings exist, and no password is shipped."""
    known = {name for name, _, _ in settings()}
    services = compose()["services"]
    for service in services.values():
        assert {name for name in service.get("environment", {}) if name.startswith("DCMON_")} <= known
    assert "${DCMON_POSTGRES_PASSWORD:?" in services["postgres"]["environment"]["POSTGRES_PASSWORD"]
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert services["serve"]["image"] == f"dcmon:{version[1]}"


def test_kafka_runs_without_zookeeper() -> None:
    kafka = compose()["services"]["kafka"]["environment"]
    assert kafka["KAFKA_PROCESS_ROLES"] == "broker,controller"
    assert not any("ZOOKEEPER" in name for name in kafka)


def test_every_decision_names_its_code() -> None:
    """Each section of the page begins with its files; the dependencies are in pyproject.toml."""
    sections = re.split("^## ", (ROOT / "docs" / "decisions.md").read_text(), flags=re.MULTILINE)[1:]
    assert [
        section.splitlines()[0]
        for section in sections
        if not section.startswith("Dependencies") and not section.splitlines()[2].startswith("Code: `")
    ] == []


def test_table_rows_have_at_most_160_characters() -> None:
    """A longer row is hard to read in a terminal: its details are sentences below the table."""
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]
    rows = [(page.name, line) for page in pages for line in page.read_text().splitlines() if line.startswith("|")]
    assert [(name, line) for name, line in rows if len(line) > 160] == []


def test_nothing_is_installed_by_the_name_alone() -> None:
    """dcmon is on no package index: its name there may be that of a stranger's package."""
    by_name = re.compile(r"\b(?:pipx?|uv tool) install (?:-\S+ )*['\"]?dcmon(?![\w/.-])")
    files = [*PAGES, *(ROOT / "dcmon").rglob("*.py")]
    assert [str(file) for file in files if by_name.search(file.read_text())] == []
