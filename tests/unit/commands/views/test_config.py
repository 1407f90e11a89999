"""The settings in effect are shown with their origins, and without secrets."""

from pathlib import Path

import pytest

from dcmon.app import App
from dcmon.commands.views import config
from dcmon.errors import NotFound
from dcmon.output import Output


@pytest.fixture(autouse=True)
def env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the path of an .env that is read."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ".env"
    path.write_text(
        "DCMON_HTTP__PORT=8123\nDCMON_WATCH__SIGN=7\nDCMON_DATABASE_URL=postgresql://a:hidden@c/d\nDCMON_ORG=acme\n"
    )
    monkeypatch.delenv("DCMON_DATA_DIR", raising=False)
    monkeypatch.setenv("DCMON_ORG", "beta")
    monkeypatch.setenv("DCMON_KAFKA", '{"bootstrap_servers": "k:1", "password": "hidden too"}')
    return path


def rows(*names: str) -> dict[str, tuple[object, str]]:
    return {row["name"]: (row["value"], row["origin"]) for row in config.show(App(output=Output()), names or None).rows}


def test_each_setting_has_its_value_and_origin(env_file: Path) -> None:
    shown = rows()
    assert shown["DCMON_HTTP__PORT"] == (8123, str(env_file))
    assert shown["DCMON_HTTP__HOST"] == ("127.0.0.1", "default")
    assert shown["DCMON_ORG"] == ("beta", "environment")
    assert shown["DCMON_HEALTH__HEARTBEAT_TIMEOUT"][1] == f"{env_file}, as DCMON_WATCH__SIGN"
    assert shown["DCMON_KAFKA__BOOTSTRAP_SERVERS"] == ("k:1", "environment")
    assert shown["DCMON_KAFKA__PARTITIONS"] == (4, "default")


def test_only_changed_settings_are_shown_if_wanted() -> None:
    changed = [row["name"] for row in config.show(App(output=Output()), None, only_changed=True).rows]
    assert changed == [
        "DCMON_DATABASE_URL", "DCMON_ORG", "DCMON_HTTP__PORT", "DCMON_KAFKA__BOOTSTRAP_SERVERS",
        "DCMON_KAFKA__PASSWORD", "DCMON_HEALTH__HEARTBEAT_TIMEOUT",
    ]  # fmt: skip


def test_secrets_are_masked() -> None:
    shown = rows()
    assert shown["DCMON_DATABASE_URL"][0] == shown["DCMON_KAFKA__PASSWORD"][0] == config.MASK
    assert shown["DCMON_REDIS_URL"][0] is None
    assert "hidden" not in str(shown)


@pytest.mark.parametrize("name", ["DCMON_HEALTH__HEARTBEAT_TIMEOUT", "DCMON_WATCH__SIGN", "health.heartbeat_timeout"])
def test_setting_is_chosen_by_each_of_its_names(name: str) -> None:
    assert list(rows(name)) == ["DCMON_HEALTH__HEARTBEAT_TIMEOUT"]


def test_unusable_group_is_the_origin_of_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor refers to this row; --changed leaves out those that have their default."""
    monkeypatch.setenv("DCMON_KAFKA", '{"partitions": "abc"}')

    shown = config.show(App(output=Output()), ["kafka.partitions", "smtp.port"], only_changed=True)

    assert [(row["name"], row["origin"]) for row in shown.rows] == [("DCMON_KAFKA__PARTITIONS", "environment")]
    assert "DCMON_KAFKA__PARTITIONS" in str(shown.refusal)


def test_unknown_setting_is_refused_with_the_nearest() -> None:
    with pytest.raises(NotFound, match=r"no setting 'http.prt'. Do you mean 'DCMON_HTTP__PORT'"):
        rows("http.prt")
