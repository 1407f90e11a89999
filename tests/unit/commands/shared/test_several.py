"""Several objects: each is done on its own, and the exit code says how many were not."""

import json
from collections.abc import Mapping

import pytest

from dcmon import errors
from dcmon.commands.shared.several import Deletion, delete_all, run_for_all
from dcmon.data_formats import Format
from dcmon.output import Output


def half(number: int) -> Mapping[str, int]:
    if number == 0:
        raise errors.InvalidInput("Zero is refused.")
    if number % 2:
        raise errors.AlertNotFound(name=number)
    return {"half": number // 2}


def shown(capsys: pytest.CaptureFixture[str]) -> object:
    return json.loads(capsys.readouterr().out)


def test_one_object_is_shown_as_an_object_and_several_as_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    run_for_all(Output(Format.json), [2, 2], half)
    assert shown(capsys) == {"half": 1}
    run_for_all(Output(Format.json), [2, 4, 2], half)
    assert shown(capsys) == [{"half": 1}, {"half": 2}]


def test_others_are_done_after_a_failure_with_all_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        errors.PartlyDone, match=r"^1 of 3 done. There is no alert 3.*list.* Zero is refused\.$"
    ) as raised:
        run_for_all(Output(Format.json), [3, 0, 4], half)
    assert raised.value.exit_code == 8
    assert shown(capsys) == [{"half": 2}]


def test_nothing_is_shown_if_all_fail_alike(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(errors.AlertNotFound, match=r"no alert 3.* no alert 5"):
        run_for_all(Output(Format.json), [3, 5], half)
    with pytest.raises(errors.AlertNotFound, match="no alert 3"):
        run_for_all(Output(Format.json), [3], half)
    assert capsys.readouterr().out == ""


def test_all_are_found_before_the_first_is_deleted(capsys: pytest.CaptureFixture[str]) -> None:
    deleted = list[int]()

    def find(number: int) -> Deletion:
        row = half(number)
        return Deletion(row["half"], {"deleted": number}, f"number {number}", lambda: deleted.append(number))

    with pytest.raises(errors.AlertNotFound):
        delete_all(Output(Format.json), map(find, [2, 3]), dry_run=False, yes=True)
    with pytest.raises(errors.InvalidInput, match=r"^Delete number 2, number 4 and number 6\? There is no terminal"):
        delete_all(Output(Format.json), map(find, [2, 4, 6]), dry_run=False, yes=False)
    delete_all(Output(Format.json), map(find, [2, 4]), dry_run=True, yes=False)
    assert shown(capsys) == [{"dry_run": True, "deleted": 2}, {"dry_run": True, "deleted": 4}]
    assert deleted == []
    delete_all(Output(Format.json), map(find, [2, 4, 2]), dry_run=False, yes=True)
    assert shown(capsys) == [{"deleted": 2}, {"deleted": 4}]
    assert deleted == [2, 4]


def test_deletion_without_a_loss_is_not_asked_for() -> None:
    deleted = list[int]()
    deletion = Deletion("team", {"deleted": "team"}, None, lambda: deleted.append(1))
    delete_all(Output(Format.json), [deletion], dry_run=False, yes=False)
    assert deleted == [1]
