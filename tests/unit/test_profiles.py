"""Profiles: precedence, origins, mistyped names, and a file that others can't read."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dcmon import cli, profiles, settings
from dcmon.commands.operations import profile as operation
from dcmon.commands.views import profile as view
from dcmon.data_formats import Format
from dcmon.errors import Conflict, InvalidInput, NotFound
from dcmon.output import Output
from dcmon.settings import Settings
from tests.helpers.examples import examples

CONTENT = """
current = "prod"
[profiles.prod]
org = "acme"
output = "yaml"
http = {port = 8010, host = "0.0.0.0"}
smtp.password = "hidden"
[profiles.test]
http.port = "8020"
[profiles.wrong]
http.prt = 1
"""


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Write profiles to a directory of this test's own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = profiles.path()
    path.parent.mkdir(mode=0o700)
    path.write_text(CONTENT)
    path.chmod(0o600)
    yield path
    profiles.choose(None)


def test_environment_and_env_file_win_over_the_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DCMON_HTTP__HOST=10.0.0.1\nDCMON_HTTP__PORT=8050\n")
    monkeypatch.setenv("DCMON_HTTP__PORT", "8060")
    read, origins = Settings(), settings.origins()
    assert (read.org, read.http.host, read.http.port) == ("acme", "10.0.0.1", 8060)
    assert origins["DCMON_HTTP__PORT"] == "environment"
    assert origins["DCMON_HTTP__HOST"] == str(tmp_path / ".env")
    assert origins["DCMON_ORG"] == f"profile prod ({profiles.path()})"


def test_option_wins_over_variable_over_current(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Settings().http.port == 8010
    (tmp_path / ".env").write_text("DCMON_PROFILE=test\n")
    assert Settings().http.port == 8020
    monkeypatch.setenv("DCMON_PROFILE", "")
    assert Settings().http.port == 8000
    profiles.choose("prod")
    assert Settings().http.port == 8010


def test_unknown_names_have_a_suggestion() -> None:
    profiles.choose("prd")
    with pytest.raises(NotFound, match="Do you mean 'prod'"):
        Settings()
    profiles.choose("wrong")
    with pytest.raises(InvalidInput, match=r"'http\.prt' .* Do you mean 'http\.port'"):
        Settings()


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        (CONTENT, 0o640, "chmod 600"), ("current = ", 0o600, "not TOML"), ("[prod]\norg='a'", 0o600, "can't be here"),
        ("current='pro'\n[profiles.prod]", 0o600, "Do you mean 'prod'"),
    ],
)  # fmt: skip
def test_unusable_file_is_an_error(content: str, mode: int, reason: str, file: Path) -> None:
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(InvalidInput, match=reason):
        profiles.read()


def test_profile_sets_the_output_format(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    assert cli._format([]) is Format.yaml
    assert cli._format(["-o", "csv"]) is Format.csv
    assert cli._format(["--profile", "test"]) is Format.table
    file.chmod(0o644)
    assert cli._format([]) is Format.table  # the command itself says what is wrong with the file


def test_changes_are_checked_and_written_whole(file: Path) -> None:
    assert operation.change(Output(), "new", ["DCMON_HTTP__PORT=8070", "output=json", "org=a"], dry_run=True)["created"]
    assert "new" not in profiles.read().profiles
    operation.change(Output(), "new", ["http.port=8070", "output=json", "org=a"], dry_run=False)
    operation.change(Output(), "new", ["org="], dry_run=False)
    assert profiles.read().profiles["new"] == {"http": {"port": "8070"}, "output": "json"}
    for wrong, reason in (
        ("http.prt=1", "http.port"),
        ("http.port=x", "HTTP__PORT"),
        ("output=jsn", "json"),
        ("a", "="),
    ):
        with pytest.raises(InvalidInput, match=reason):
            operation.change(Output(), "new", [wrong], dry_run=False)
    assert operation.use(Output(), "new", dry_run=True)["previous"] == profiles.read().current == "prod"
    operation.use(Output(), "new", dry_run=False)
    deletion = operation.deletion("new")
    assert deletion.row["was_current"]
    deletion.delete()
    assert (profiles.read().current, file.stat().st_mode & 0o777) == (None, 0o600)
    with pytest.raises(NotFound):
        operation.use(Output(), "new", dry_run=False)


COMMENTED = """# of the operators

# the large one
[profiles.prod]
org = "acme"  # with the contract of 2026
http = {port = 8010, host = "0.0.0.0"}
smtp.password = "hidden"

[profiles.test]  # may be broken
http.port = "8020"
"""


def test_change_of_a_profile_leaves_all_else_as_it_is(file: Path) -> None:
    file.write_text(COMMENTED)
    operation.change(Output(), "prod", ["http.port=8011", "kafka.topic_prefix=x"], dry_run=False)
    operation.change(Output(), "new", ["org=beta"], dry_run=False)
    operation.use(Output(), "prod", dry_run=False)
    operation.deletion("test").delete()
    changed = file.read_text()
    for kept in (
        "# of the operators\n",
        '# the large one\n[profiles.prod]\norg = "acme"  # with the contract of 2026\n',
    ):
        assert kept in changed
    assert 'http = {port = "8011", host = "0.0.0.0"}' in changed
    assert "may be broken" not in changed
    assert changed.startswith('current = "prod"\n')
    assert profiles.read().profiles["prod"]["kafka"] == {"topic_prefix": "x"}
    assert profiles.read().profiles["new"] == {"org": "beta"}


def test_renamed_profile_stays_in_its_place_and_current(file: Path) -> None:
    content = CONTENT.replace("[profiles.prod]", "# of the plant\n[profiles.prod]  # main")
    file.write_text(content)
    row = operation.rename(Output(), "prod", "plant 1", dry_run=False)
    assert (row["name"], row["old_name"], row["is_current"]) == ("plant 1", "prod", True)
    expected = content.replace('"prod"', '"plant 1"', 1).replace("profiles.prod", 'profiles."plant 1"')
    assert file.read_text() == expected
    with pytest.raises(Conflict, match="There is a profile 'wrong' already"):
        operation.rename(Output(), "test", "wrong", dry_run=False)
    with pytest.raises(NotFound, match="Do you mean 'test'"):
        operation.rename(Output(), "tst", "other", dry_run=False)
    assert operation.rename(Output(), "test", "other", dry_run=True)["name"] == "other"
    assert file.read_text() == expected


def test_file_out_of_reach_does_not_hide_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that stepped down from root may have no access; a name that is too long fails for root, too."""
    monkeypatch.setenv("XDG_CONFIG_HOME", f"/{'x' * 300}")
    assert cli._default_format([]) is Format.table


def test_secrets_of_a_profile_are_masked() -> None:
    assert "hidden" not in str(view.detail("prod"))
    assert "(secret)" in str(view.detail("prod"))
    assert "hidden" not in str(view.listing())


@hypothesis_settings(max_examples=examples(50))
@given(st.dictionaries(st.text(min_size=1), st.dictionaries(st.text(min_size=1), st.text() | st.integers())))
def test_any_profile_is_read_as_it_was_written(written: dict[str, dict[str, object]]) -> None:
    storable = {name: values for name, values in written.items() if "\ud800" not in name}
    try:
        profiles.write(None, storable)
    except UnicodeEncodeError:
        return
    assert profiles.read().profiles == storable
