"""Formats of results and errors, as programs read them from the installed dcmon."""

import json

import pytest

from tests.helpers.installed import Dcmon


def test_names_of_one_command_are_arguments_of_another(dcmon: Dcmon) -> None:
    listed = dcmon("check", "list", "-o", "name").stdout.split()
    shown = dcmon("check", "show", listed[0], "--fields", "check,needs", "-o", "jsonl")
    assert json.loads(shown.stdout) == {"check": listed[0], "needs": ["labels"]}


@pytest.mark.parametrize(
    ("arguments", "kind", "exit_code"),
    [
        (["check", "shw"], "usage", 2),
        (["check", "show"], "usage", 2),
        (["check", "show", "FeatureDrft"], "check_not_found", 5),
        (["check", "list", "--fields", "nme"], "invalid_input", 2),
    ],
)
def test_error_is_an_object_where_results_are_data(
    dcmon: Dcmon, arguments: list[str], kind: str, exit_code: int
) -> None:
    for output in (["-o", "json"], ["--output=yaml"], ["-ojsonl"]):
        done = dcmon(*output, *arguments)
        error = json.loads(done.stderr)["error"]
        assert (error["kind"], error["exit_code"], done.returncode, done.stdout) == (kind, exit_code, exit_code, "")
        assert error["message"]
    done = dcmon("-o", "csv", *arguments)
    assert (done.returncode, done.stdout) == (exit_code, "")
    assert error["message"] in done.stderr
