"""The key that `dcmon up` draws for its own PostgreSQL."""

import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from dcmon import errors
from dcmon.embedded import own_key
from dcmon.settings import Settings

CHOSEN = "A" * 43 + "="


def _settings(data_dir: Path, **changes: SecretStr) -> Settings:
    return Settings(data_dir=data_dir, _env_file=None, **changes)  # type: ignore[arg-type, call-arg]


def test_key_is_drawn_once_and_private(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    assert own_key.keys(settings) == []
    (tmp_path / "secret.new").write_text("of a start that was killed")
    assert own_key.create(settings)
    drawn = own_key.keys(settings)
    assert own_key.create(settings)
    assert (own_key.keys(settings), len(drawn), len(drawn[0])) == (drawn, 1, 44)
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600


def test_keys_of_the_settings_come_first(tmp_path: Path) -> None:
    own_key.create(_settings(tmp_path))
    own = own_key.keys(_settings(tmp_path))
    assert own_key.keys(_settings(tmp_path, secret_keys=SecretStr(f"{CHOSEN}, {CHOSEN}"))) == [CHOSEN, CHOSEN, *own]


def test_key_is_not_used_for_another_database(tmp_path: Path) -> None:
    """Other machines that use that database don't have it."""
    own_key.create(_settings(tmp_path))
    assert own_key.keys(_settings(tmp_path, database_url=SecretStr("postgresql://db.example.org/dcmon"))) == []


@pytest.mark.parametrize("content", ["", "short", "A" * 43, "ü" * 44])
def test_file_without_a_key_is_refused(tmp_path: Path, content: str) -> None:
    """A new key in its place would make the stored secrets unreadable for ever."""
    (tmp_path / "secret.key").write_text(content)
    with pytest.raises(errors.InvalidInput, match="has no key"):
        own_key.create(_settings(tmp_path))
