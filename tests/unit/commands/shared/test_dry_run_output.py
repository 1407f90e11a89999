"""What dry runs show of new objects."""

import json

import pytest

from dcmon.commands.shared.dry_run_output import DryRunOutput
from dcmon.data_formats import Format
from dcmon.output import Output


@pytest.mark.parametrize(("is_creating", "shown"), [(True, {"name": "a"}), (False, {"id": 7, "name": "a"})])
def test_dry_run_of_a_creation_shows_no_id(
    is_creating: bool, shown: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    """The object gets another id when it is created."""
    DryRunOutput(Output(Format.json), is_creating=is_creating).value({"id": 7, "name": "a", "token": "x"})

    assert json.loads(capsys.readouterr().out) == {"dry_run": True, **shown}


@pytest.mark.parametrize(("row", "shown"), [({"id": 7, "matchers": ["a=b"]}, ""), ({"id": 7, "name": "a"}, "a\n")])
def test_new_object_without_a_name_has_none_yet(
    row: dict[str, object], shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    DryRunOutput(Output(Format.name), is_creating=True).value(row)

    assert capsys.readouterr().out == shown
