"""Settings are read from the environment and from .env, under their names and their old names."""

import inspect
import re
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from dcmon.app import App
from dcmon.embedded import process_manager
from dcmon.embedded.environment import child_environment
from dcmon.errors import InvalidInput
from dcmon.notifications.integrations import command as command_receiver
from dcmon.output import Output
from dcmon.settings import OLD_NAMES, Http, Settings
from tests.helpers.paths import ROOT

OLD, NEW = "DCMON_WATCH__SIGN", "DCMON_HEALTH__HEARTBEAT_TIMEOUT"


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*OLD_NAMES, *OLD_NAMES.values()):
        monkeypatch.delenv(name, raising=False)


def heartbeat_timeout() -> float:
    return Settings().health.heartbeat_timeout.total_seconds()


@pytest.mark.parametrize("name", [OLD, NEW])
def test_old_and_new_name_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "7")
    assert heartbeat_timeout() == 7


@pytest.mark.parametrize("name", [OLD, NEW, OLD.lower()])
def test_old_and_new_name_are_read_from_the_env_file(tmp_path: Path, name: str) -> None:
    (tmp_path / ".env").write_text(f"{name}=7\n")
    assert heartbeat_timeout() == 7


def test_new_name_wins_over_the_old_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OLD, "7")
    monkeypatch.setenv(NEW, "9")
    assert heartbeat_timeout() == 9


@pytest.mark.parametrize(("in_environment", "in_file"), [((OLD, "7"), (NEW, "9")), ((NEW, "9"), (OLD, "7"))])
def test_new_name_wins_in_either_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, in_environment: tuple[str, str], in_file: tuple[str, str]
) -> None:
    monkeypatch.setenv(*in_environment)
    (tmp_path / ".env").write_text("=".join(in_file))
    assert heartbeat_timeout() == 9


def test_environment_wins_over_the_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(OLD, "7")
    (tmp_path / ".env").write_text(f"{OLD}=5\nDCMON_WATCH__EVERY=4\n")
    assert heartbeat_timeout() == 7
    assert Settings().health.every == timedelta(seconds=4)


def test_error_names_the_old_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable that is set may have the old name."""
    monkeypatch.setenv(OLD, "soon")
    monkeypatch.setenv("DCMON_HTTP__PORT", "many")
    with pytest.raises(
        InvalidInput, match=rf"DCMON_HTTP__PORT \(environment\) .* {NEW} \(environment, as {OLD}\) is 'soon'"
    ):
        _ = App(output=Output()).settings


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("DCMON_DATABSE_URL", "DCMON_DATABASE_URL"), ("DCMON_HTP__PORT", "DCMON_HTTP__PORT"),
        ("DCMON_HTTP_PORT", "DCMON_HTTP__PORT"), ("dcmon_kafka__topic_prefx", "DCMON_KAFKA__TOPIC_PREFIX"),
    ],
)  # fmt: skip
def test_unknown_name_is_refused_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, nearest: str
) -> None:
    """A mistyped name must not let dcmon go on with a default: an embedded database, another port."""
    monkeypatch.setenv(name, "7")
    with pytest.raises(InvalidInput, match=f"^{name.upper()} in the environment .* {nearest!r}"):
        Settings()
    monkeypatch.delenv(name)
    (tmp_path / ".env").write_text(f"{name}=7\n")
    with pytest.raises(InvalidInput, match=f"^{name.upper()} in {tmp_path}/.env .* {nearest!r}"):
        Settings()


@pytest.mark.parametrize("name", ["DCMON_FOO", "DCMON_URL", "DCMON_HTTP__FOO", "DCMON_HTTP__ALLOWED"])
def test_unknown_name_like_no_other_has_no_suggestion(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What all names begin with, or all of a group, does not make two of them alike."""
    monkeypatch.setenv(name, "7")
    with pytest.raises(InvalidInput, match=rf'^{name} in the environment is no setting\. "dcmon docs settings" lists'):
        Settings()


def test_names_of_other_programs_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of docker-compose.yml, of command receivers, of the tests, and of Kubernetes for services."""
    compose = re.findall(r"\$\{(DCMON_\w+)", (ROOT / "docker-compose.yml").read_text())
    command = [*re.findall(r'"(DCMON_[A-Z_]+)', inspect.getsource(command_receiver)), "DCMON_ALERT_MODEL"]
    assert len(compose) >= 4
    assert len(command) >= 5
    kubernetes = [
        "DCMON_SERVICE_HOST", "DCMON_SERVICE_PORT_HTTP", "DCMON_PORT_8000_TCP_ADDR", "DCMON_KAFKA_PORT_9092_TCP",
        "DCMON_KAFKA_SERVICE_PORT",
    ]  # fmt: skip
    for name in [*compose, *command, *kubernetes, "DCMON_TEST_ANYTHING"]:
        monkeypatch.setenv(name, "http://acme.example")
    monkeypatch.setenv("DCMON_HTTP_PORT", "tcp://10.0.0.1:8000")
    assert Settings().http.port == 8000


def test_group_of_settings_is_read_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCMON_HTTP", '{"port": 8123}')
    assert Settings().http.port == 8123


def test_env_file_that_is_not_utf_8_is_named_in_the_error(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"DCMON_ORG=caf\xe9\n")
    with pytest.raises(InvalidInput, match=f"{tmp_path}/.env is not text in UTF-8"):
        _ = App(output=Output()).settings


def test_every_old_name_sets_its_new_name(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = {"URL": "https://hc.example", "FAIL": "true", "ORG": "ops", "QUARANTINE": "0.5", "DISK": "0.5"}
    for old in OLD_NAMES:
        monkeypatch.setenv(old, samples.get(old.rpartition("__")[2], "3"))
    values = Settings().model_dump()
    for new in OLD_NAMES.values():
        group, _, name = new.removeprefix("DCMON_").lower().partition("__")
        assert values[group][name] != Settings.model_fields[group].default.model_dump()[name], new


def test_page_of_settings_lists_every_old_name() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    rows = [f"| `{old}` | `{new}` |" for old, new in OLD_NAMES.items()]
    assert page.partition("## Old names")[2].strip().splitlines()[-len(rows) :] == rows


@pytest.mark.parametrize(("text", "days"), [("none", 36_500), ("400d", 400), ("2y", 730), ("P1Y35D", 400)])
def test_term_of_the_log_is_the_same_in_a_child_process(monkeypatch: pytest.MonkeyPatch, text: str, days: int) -> None:
    """A child gets the settings as text; "none" must not become the default there, which deletes entries."""
    monkeypatch.setenv("DCMON_AUDIT_LOG__RETENTION", text)
    variables = child_environment(Settings())
    monkeypatch.setenv("DCMON_AUDIT_LOG__RETENTION", variables["DCMON_AUDIT_LOG__RETENTION"])
    assert Settings().audit_log.retention == timedelta(days=days)


def test_term_of_the_log_is_at_least_30_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCMON_AUDIT_LOG__RETENTION", "10d")
    with pytest.raises(ValidationError, match="greater than or equal to"):
        Settings()


def test_longer_shutdown_gives_processes_more_time() -> None:
    """`dcmon up` kills no endpoint that still finishes requests."""
    http = Http(shutdown_timeout=timedelta(minutes=2), drain=timedelta(seconds=30))
    assert process_manager.stop_seconds(Settings(http=http)) > http.longest_stop > 150
    assert process_manager.stop_seconds(Settings()) >= process_manager.STOP_SECONDS


@pytest.mark.parametrize("url", ["dcmon.example", "dcmon.example:8080", "//dcmon.example", "https://", "ftp://a", "/x"])
def test_public_url_without_scheme_or_host_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Its origin would be that of a page in a sandbox, which then could write."""
    monkeypatch.setenv("DCMON_PUBLIC_URL", url)
    with pytest.raises(ValidationError, match="with http:// or https:// and a host"):
        Settings()


@pytest.mark.parametrize("url", ["", "https://dcmon.example/", "http://[::1]:8080", "HTTPS://dcmon.example:8443/x"])
def test_public_url_with_scheme_and_host_is_kept(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("DCMON_PUBLIC_URL", url)
    assert Settings().public_url == url


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DCMON_S3__ENDPOINT_URL", "https://key:canary@minio:9000"),
        ("DCMON_PUBLIC_URL", "https://user:canary@dcmon.example"),
        ("DCMON_EVALUATE__VARIABLES", "MODEL_DIR,DCMON_SMTP__PASSWORD"),
    ],
)
def test_secret_in_a_shown_or_shared_setting_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput, match=name) as refused:
        App().settings  # noqa: B018
    assert "canary" not in str(refused.value)


def test_redis_url_of_another_scheme_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCMON_REDIS_URL", "s3cret")

    with pytest.raises(ValidationError, match="it must be a URL with redis://") as refusal:
        Settings()
    assert "s3cret" not in str(refusal.value.errors(include_input=False))
