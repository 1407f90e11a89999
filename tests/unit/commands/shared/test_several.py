"""Several objects: all are looked up first, then each is done on its own; the exit code says if some were not."""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import pytest

from dcmon import errors
from dcmon.commands.shared.dry_run_output import DryRunOutput
from dcmon.commands.shared.several import Deletion, delete_all, run_for_all, show_all
from dcmon.data_formats import Format
from dcmon.output import Output


def find(number: int) -> int:
    if number % 2:
        raise errors.AlertNotFound(name=number)
    return number


def half(number: int) -> Mapping[str, int]:
    if number in (0, 10):
        raise errors.InvalidInput(f"{number} is refused.")
    return {"half": number // 2}


def deletion(number: int, deleted: list[int], typed_name: str | None = None) -> Deletion:
    row, name = {"deleted": find(number)}, f"number {number}"
    return Deletion(number, row, name, lambda: deleted.append(number), typed_name=typed_name)


def shown(capsys: pytest.CaptureFixture[str]) -> object:
    return json.loads(capsys.readouterr().out)


def test_one_object_is_shown_as_an_object_and_several_as_a_list(capsys: pytest.CaptureFixture[str]) -> None:
    run_for_all(Output(Format.json), [2, 2], find, half)
    assert shown(capsys) == {"half": 1}
    run_for_all(Output(Format.json), [2, 4, 2], find, half)
    assert shown(capsys) == [{"half": 1}, {"half": 2}]


def test_nothing_is_done_if_one_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    done = list[int]()

    def act(number: int) -> Mapping[str, int]:
        done.append(number)
        return half(number)

    with pytest.raises(errors.AlertNotFound) as raised:
        run_for_all(Output(Format.json), [2, 3, 5], find, act)
    lists = '"dcmon alert list --all" lists the alerts.'
    assert str(raised.value) == f"There is no alert 3. There is no alert 5. {lists} Nothing was changed."
    assert raised.value.exit_code == 5
    with pytest.raises(errors.AlertNotFound, match=r'"dcmon alert list --all" lists the alerts\.$'):
        run_for_all(Output(Format.json), [3], find, act)
    assert (done, capsys.readouterr().out) == ([], "")


def test_others_are_done_after_a_failure_with_all_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(errors.PartlyDone, match=r"^1 of 2 done\. 0 is refused\.$") as raised:
        run_for_all(Output(Format.json), [0, 4], find, half)
    assert raised.value.exit_code == 8
    assert shown(capsys) == [{"half": 2}]
    with pytest.raises(errors.PartlyDone, match=r"^1 of 2 would be done\. 0 is refused\.$"):
        run_for_all(DryRunOutput(Output(Format.json)), [0, 4], find, half)
    assert shown(capsys) == [{"dry_run": True, "half": 2}]


def test_nothing_is_shown_if_all_fail_alike(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(errors.InvalidInput, match=r"^0 is refused\. 10 is refused\.$"):
        run_for_all(Output(Format.json), [0, 10], find, half)
    with pytest.raises(errors.InvalidInput, match=r"^0 is refused\.$"):
        run_for_all(Output(Format.json), [0], find, half)
    assert capsys.readouterr().out == ""


def test_all_are_known_before_the_first_is_deleted(capsys: pytest.CaptureFixture[str]) -> None:
    deleted, output = list[int](), Output(Format.json)
    of = partial(deletion, deleted=deleted)
    with pytest.raises(errors.AlertNotFound, match="Nothing was changed"):
        delete_all(output, [2, 3], of, yes=True)
    with pytest.raises(errors.InvalidInput, match=r"^Delete number 2, number 4 and number 6\? There is no terminal"):
        delete_all(output, [2, 4, 6], of, yes=False)
    dry_run = DryRunOutput(output)
    delete_all(dry_run, [2, 4], of, yes=False)
    assert shown(capsys) == [{"dry_run": True, "deleted": 2}, {"dry_run": True, "deleted": 4}]
    assert dry_run.sentence == "Dry run: this would delete number 2 and number 4. Nothing was changed."
    assert deleted == []
    delete_all(output, [2, 4, 2], of, yes=True)
    assert shown(capsys) == [{"deleted": 2}, {"deleted": 4}]
    assert deleted == [2, 4]


def test_dry_run_of_many_has_a_row_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence says how many they are: a long one can't be read."""
    dry_run = DryRunOutput(Output(Format.json))
    delete_all(dry_run, [2, 4, 6, 8], partial(deletion, deleted=[]), yes=False)
    assert shown(capsys) == [{"dry_run": True, "deleted": number} for number in (2, 4, 6, 8)]
    assert dry_run.sentence == "Dry run: this would delete the 4 that are listed. Nothing was changed."


def test_deletion_without_a_loss_is_not_asked_for() -> None:
    deleted = list[int]()
    delete_all(Output(Format.json), [4], lambda number: replace(deletion(number, deleted), asks=False), yes=False)
    assert deleted == [4]


@pytest.mark.parametrize(("answers", "expected"), [(["two", "four"], [2, 4]), (["two", "six"], [])])
def test_name_of_every_loss_is_typed_first(
    monkeypatch: pytest.MonkeyPatch, answers: list[str], expected: list[int]
) -> None:
    """Of two objects that can't be restored, none is deleted before both names are typed."""
    deleted, names = list[int](), {2: "two", 4: "four"}
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.prompt", lambda text, err: answers.pop(0))
    with nullcontext() if expected else pytest.raises(errors.InvalidInput, match="Not confirmed"):
        delete_all(Output(Format.json), [2, 4], lambda number: deletion(number, deleted, names[number]), yes=False)
    assert deleted == expected


def test_objects_are_shown_as_a_list_or_one_below_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    show_all(Output(Format.json), [2], lambda number: {"id": find(number)})
    assert shown(capsys) == {"id": 2}
    show_all(Output(Format.jsonl), [2, 4], lambda number: {"id": find(number)})
    assert capsys.readouterr().out == '{"id": 2}\n{"id": 4}\n'
    show_all(Output(), [2, 4], lambda number: {"id": find(number)})
    assert capsys.readouterr().out == "id  2\n\nid  4\n"
    with pytest.raises(errors.AlertNotFound, match="Nothing is shown"):
        show_all(Output(), [2, 3], lambda number: {"id": find(number)})
    assert capsys.readouterr().out == ""
