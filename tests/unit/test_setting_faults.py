"""A value of a setting that can't be used is refused in a sentence: name, value, origin, what it must be."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_origin

import pytest
from pydantic import SecretStr

from dcmon import profiles, setting_names
from dcmon.app import App
from dcmon.commands.operations import profile as operation
from dcmon.errors import InvalidInput
from dcmon.output import Output
from dcmon.settings import Settings

NUMBERS = [
    variable.name for variable in setting_names.variables(Settings) if variable.field.annotation in (int, float, bool)
]
DURATIONS = [
    variable.name
    for variable in setting_names.variables(Settings)
    if "timedelta" in str(variable.field.annotation) and get_origin(variable.field.annotation) is None
]


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(profiles, "path", lambda: tmp_path / "config.toml")


def refusal(variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the message about settings of the environment."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput) as error:
        _ = App(output=Output()).settings
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "DCMON_HTTP__PORT",
            "abc",
            "DCMON_HTTP__PORT (environment) is 'abc': it must be a whole number from 1 to 65535. The default is 8000.",
        ),
        (
            "DCMON_HTTP__PORT",
            "99999",
            "DCMON_HTTP__PORT (environment) is '99999': it must be a whole number from 1 to 65535."
            " The default is 8000.",
        ),
        (
            "DCMON_PING__EVERY",
            "1M",
            "DCMON_PING__EVERY (environment) is '1M': it must be a duration like 500ms, 90s, 30m, 12h or 3d, or a"
            " number of seconds. The default is 1m.",
        ),
        ("DCMON_PING__FAIL", "maybe", "DCMON_PING__FAIL (environment) is 'maybe': it must be true or false."),
        (
            "DCMON_SMTP__SECURITY",
            "startls",
            "DCMON_SMTP__SECURITY (environment) is 'startls': it must be starttls, tls or none."
            " Do you mean 'starttls'? The default is starttls.",
        ),
        (
            "DCMON_AUDIT_LOG__RETENTION",
            "3d",
            "DCMON_AUDIT_LOG__RETENTION (environment) is '3d': it must be a duration like 500ms, 90s, 30m, 12h or 3d,"
            " or a number of seconds, at least 30d. The default is 400d.",
        ),
        (
            "DCMON_PUBLIC_URL",
            "dcmon.example.org",
            "DCMON_PUBLIC_URL (environment) can't be used: it must be a URL with http:// or https:// and a host,"
            " such as https://dcmon.example.org.",
        ),
        ("DCMON_HTTP", "{bad", 'DCMON_HTTP can\'t be used: it must be a JSON object, like {"port": 8010}.'),
        ("DCMON_HTTP", "3", 'DCMON_HTTP (environment) can\'t be used: it must be a JSON object, like {"port": 8010}.'),
    ],
)
def test_wrong_value_is_told_in_a_sentence(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refusal({name: value}, monkeypatch) == sentence


@pytest.mark.parametrize("name", [*NUMBERS, *DURATIONS])
def test_every_number_and_duration_has_such_a_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A duration may be typed as people write it: 1m of each is read."""
    said = refusal({name: "soon"}, monkeypatch)
    assert said.startswith(f"{name} (environment) is 'soon': it must be ")
    assert "Input" not in said
    if name in DURATIONS:
        monkeypatch.setenv(name, "60d")
        assert App(output=Output()).settings is not None


def test_wrong_value_of_a_file_or_profile_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("DCMON_HTTP__PORT=x\n")
    assert refusal({}, monkeypatch).startswith(f"DCMON_HTTP__PORT ({tmp_path / '.env'}) is 'x': ")
    with pytest.raises(InvalidInput, match=r"DCMON_HTTP__PORT \(profile prod\) is 'x'"):
        operation.change(Output(), "prod", ["http.port=x"], dry_run=False)


def test_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refusal({"DCMON_REDIS_URL": "canary"}, monkeypatch)
    assert "redis://host:6379/0" in said
    assert "canary" not in said


def test_group_with_a_wrong_value_is_told_by_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    said = refusal({"DCMON_SMTP": '{"port": "x", "password": "canary"}'}, monkeypatch)
    assert said.startswith("DCMON_SMTP__PORT (environment) is 'x': it must be a whole number from 1 to 65535.")
    assert "canary" not in said


@pytest.mark.parametrize(
    ("typed", "meant"), [("DCMON_OGR=x", "'DCMON_ORG'"), ("ogr=x", "'org'"), ("http.prt=1", "'http.port'")]
)
def test_mistyped_name_in_a_profile_gets_the_nearest_one(typed: str, meant: str) -> None:
    with pytest.raises(InvalidInput, match=rf"There is no setting .* Do you mean {meant}\?"):
        operation.change(Output(), "prod", [typed], dry_run=False)


def test_secrets_are_no_numbers() -> None:
    """The value of a number is shown."""
    fields: dict[str, Any] = {variable.name: variable.field for variable in setting_names.variables(Settings)}
    assert not [name for name in [*NUMBERS, *DURATIONS] if "SecretStr" in str(fields[name].annotation)]
    assert SecretStr.__name__ in str(fields["DCMON_REDIS_URL"].annotation)
