"""Secrets are references, which are resolved from the environment and from files."""

from pathlib import Path

import pytest

from dcmon import errors
from dcmon.declarations import secret_text
from dcmon.declarations.secret_text import SecretText


def test_reference_is_resolved_from_the_environment() -> None:
    text = SecretText("https://x.example/${TOKEN}?a=$${b}")
    assert text.is_secret
    assert text.resolved({"TOKEN": "s3cret"}).value == "https://x.example/s3cret?a=${b}"
    assert text.resolved({}).value is None
    assert text.resolved({}).missing == "the variable TOKEN"


def test_text_without_reference_is_no_secret() -> None:
    plain = SecretText.plain("https://x.example/${a}")
    assert plain.written == "https://x.example/$${a}"
    assert not plain.is_secret
    assert plain.resolved({}).value == "https://x.example/${a}"


def test_file_is_read_without_its_line_end(tmp_path: Path) -> None:
    path = tmp_path / "key"
    text = SecretText({"secret_from": "file", "path": str(path)})
    assert text.resolved({}).missing == f"the file {path}"
    path.write_text("s3cret\n")
    assert text.resolved({}).value == "s3cret"
    path.write_bytes(b"x" * 70_000)
    assert "more than 65,536 bytes" in str(text.resolved({}).missing)


@pytest.mark.parametrize("name", ["data/secret.key", ".env", "config/dcmon/config.toml", "link", "/proc/self/environ"])
def test_file_of_dcmon_itself_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(secret_text, "_private", {Path("data")})
    for folder in ("data", "config/dcmon"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "link").symlink_to("data/secret.key")
    if not name.startswith(("/", "link")):
        (tmp_path / name).write_text("s3cret")
    for path in (name, str(tmp_path / name)):
        with pytest.raises(errors.InvalidInput, match="secrets of dcmon itself"):
            SecretText({"secret_from": "file", "path": path}).resolved({})


@pytest.mark.parametrize(("mine", "other", "same"), [("a", "a", True), ("a", "b", False), (None, "b", True)])
def test_unknown_value_is_no_change(mine: str | None, other: str, same: bool) -> None:
    assert SecretText("${X}", mine).is_same(SecretText("${X}", other)) is same
