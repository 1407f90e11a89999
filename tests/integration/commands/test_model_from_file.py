"""`model create --from` with files: what it shows, writes and creates, and the exit codes."""

import os
import pty
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Acme
from tests.helpers.installed import COMMAND, Dcmon
from tests.helpers.waiting import PATIENCE

HEADER = "order,scored at,prediction,score,amount,plz,note\n"


@pytest.fixture
def installed(with_url: Callable[[str], Dcmon], database_url: str, acme: Acme) -> Dcmon:
    return with_url(database_url)


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    path = tmp_path / "shop 1.csv"
    rows = (
        f"A-{n},2026-03-0{n % 3 + 1}T10:{n:02}:00,{n % 2},{0.2 + n % 2 / 2},{n / 4},0410{n % 5},\n" for n in range(40)
    )
    path.write_text(HEADER + "".join(rows))
    return path


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "outcomes.csv"
    path.write_text("order,label\n" + "".join(f"A-{n},{n % 2}\n" for n in range(40)))
    return path


def shown(installed: Dcmon, name: str) -> dict[str, object]:
    (version,) = installed.json("model", "show", name)["versions"]
    return {key: version[key] for key in ("version", "features", "reference", "samples")}


def test_proposal_is_created_only_on_a_yes(installed: Dcmon, predictions: Path, labels: Path, tmp_path: Path) -> None:
    refused = installed("model", "create", "--from", str(predictions))
    assert refused.returncode == 2
    assert "Create model 'shop 1'? There is no terminal to ask on: add --yes to confirm." in refused.stderr
    assert "dcmon model create 'shop 1' --task binary --version v1" in refused.stdout
    assert installed.json("model", "create", "--from", str(predictions), "--dry-run")["task"] == "binary"
    assert installed.json("model", "list") == []

    created = installed("model", "create", "shop", "--from", str(predictions), "--yes", "--reference", str(predictions))
    assert created.returncode == 0, created.stderr
    assert f"{predictions} is the reference: 40 rows." in created.stderr
    assert "Next: dcmon ingest file" in created.stderr
    for path in (predictions, labels):
        (loaded,) = installed.json("ingest", "file", str(path))
        assert (loaded["stored"], loaded["rejected"]) == (40, 0)
    assert shown(installed, "shop") == {"version": "v1", "features": 2, "reference": 40, "samples": 40}
    assert installed("monitor", "run", "shop/Performance").returncode == 0
    (result, *_) = installed.json("monitor", "history", "shop/Performance")
    assert result["state"] == "OK"


def test_model_is_not_created_without_its_reference(installed: Dcmon, predictions: Path, labels: Path) -> None:
    """A reference that can't be loaded leaves nothing; the same command again does not load a reference twice."""
    create = ("model", "create", "shop", "--from", str(predictions), "--yes", "--reference")
    broken = predictions.with_name("broken.csv")
    broken.write_text(HEADER + "A-1,2026-03-01,1,0.7,many,04100,\n")
    for path, code in ((predictions.with_name("none.csv"), 5), (labels, 2), (broken, 2)):
        assert installed(*create, str(path)).returncode == code
        assert installed.json("model", "list") == []
    assert installed(*create, str(predictions)).returncode == 0
    again = installed(*create, str(predictions))
    assert again.returncode == 0, again.stderr
    assert f"The version has a reference already: {predictions} was not loaded." in again.stderr
    assert shown(installed, "shop")["reference"] == 40


def test_existing_model_is_described_as_it_is(installed: Dcmon, predictions: Path) -> None:
    """A second `create` neither asks for the rows and the reference that are there, nor whether to create the model."""
    create = ("model", "create", "shop", "--from", str(predictions))
    first = installed(*create, "--yes")
    assert first.returncode == 0, first.stderr
    assert "Version 'v1' has no reference yet" in first.stderr
    assert "Next: dcmon ingest file" in first.stderr
    assert "existed already" not in first.stderr
    assert installed("ingest", "file", str(predictions), "--model", "shop").returncode == 0
    assert installed("reference", "load", str(predictions), "--model", "shop", "--version", "v1").returncode == 0

    again = installed(*create)
    assert again.returncode == 0, again.stderr
    assert "Model shop existed already, and keeps its settings" in again.stderr
    assert "reference" not in again.stderr
    assert "Next:" not in again.stderr


def test_reference_of_an_existing_version_is_asked_for(installed: Dcmon, predictions: Path) -> None:
    create = ("model", "create", "shop", "--from", str(predictions))
    assert installed(*create, "--yes").returncode == 0
    refused = installed(*create, "--reference", str(predictions))
    question = f"This would load {predictions} as the reference of version 'v1'. Continue?"
    assert (refused.returncode, question in refused.stderr) == (2, True), refused.stderr
    assert shown(installed, "shop")["reference"] == 0


@pytest.mark.parametrize("suffix", [".sh", ".yaml"])
def test_written_proposal_creates_the_same(installed: Dcmon, predictions: Path, tmp_path: Path, suffix: str) -> None:
    written = tmp_path / f"model{suffix}"
    output = installed("model", "create", "--from", str(predictions), "--write", str(written))
    assert output.returncode == 0, output.stderr
    assert f"{written} has the proposal. Nothing was created." in output.stderr
    assert installed.json("model", "list") == []
    if suffix == ".sh":
        arguments = shlex.split(written.read_text().replace("\\\n", " "))[1:]
    else:
        arguments = ["model", "create", "--from", str(written)]
    by_document = installed(*arguments)
    assert by_document.returncode == 0, by_document.stderr
    # A version of the same name with other columns would be a conflict.
    again = installed("model", "create", "--from", str(predictions), "--yes")
    assert again.returncode == 0, again.stderr
    changed = installed("model", "create", "--from", str(predictions), "--yes", "--feature", "plz:text")
    assert changed.returncode == 6


def test_document_keeps_settings_and_takes_a_reference(installed: Dcmon, predictions: Path, tmp_path: Path) -> None:
    """Settings of the proposal are in the YAML; an option beside --from replaces them."""
    written = str(tmp_path / "model.yaml")
    create = ("model", "create", "shop", "--from")
    for path in (predictions, tmp_path / "model"):  # a file of data is not overwritten
        refused = installed(*create, str(predictions), "--write", str(path))
        assert (refused.returncode, "name a file *.yaml" in refused.stderr) == (2, True)
    settings = ("--label-ratio", "0.9", "--time-zone", "Europe/Berlin", "--label-delay", "5d", "--defaults", "sdk")
    assert installed(*create, str(predictions), *settings, "--write", written).returncode == 0
    created = installed(*create, written, "--label-delay", "7d", "--reference", str(predictions))
    assert created.returncode == 0, created.stderr
    assert f"{predictions} is the reference: 40 rows." in created.stderr
    model = installed.json("model", "show", "shop")
    assert (model["label_ratio"], model["time_zone"], model["label_delay"]) == (0.9, "Europe/Berlin", "7d")
    assert model["default_monitors"] == "sdk"
    assert model["versions"][0]["reference"] == 40


def test_columns_of_classes_are_stored_as_probabilities(installed: Dcmon, predictions: Path) -> None:
    """The proposal names the columns, so that no command needs an option; each class must have one."""
    lines = predictions.read_text().splitlines()
    header, *rows = (
        f"{line},{end}" for line, end in zip(lines, ["p_1,p_0", *["0.2,0.8", "0.7,0.3"] * 20], strict=True)
    )
    predictions.write_text("\n".join([header.replace("score", "x"), *rows]) + "\n")
    create = ["model", "create", "shop", "--from", str(predictions)]
    proposed = installed.json(*create, "--dry-run")["columns"]
    fields = {column["name"]: column["target"] for column in proposed}
    of_classes = {f"p_{name}": f"_dc_prediction_probabilities[{name}]" for name in (0, 1)}
    assert {name: fields[name] for name in of_classes} == of_classes
    text = installed(*create, "--yes", "--reference", str(predictions))
    assert text.returncode == 0, text.stderr
    assert "probability of 1" in text.stdout
    (loaded,) = installed.json("ingest", "file", str(predictions))
    assert (loaded["stored"], loaded["rejected"]) == (40, 0)
    half = ["--version", "v2", "--task", "binary", "--class", "0", "--class", "1", "--feature", "a:numeric"]
    refused = installed("model", "create", "shop", *half, "--yes", "--map", "p_0=_dc_prediction_probabilities[0]")
    assert refused.returncode == 2
    assert "but no column is '_dc_prediction_probabilities[1]'" in refused.stderr


def test_question_is_answered_by_an_option(installed: Dcmon, predictions: Path) -> None:
    text = (
        predictions.read_text()
        .replace("score,", "updated_at,")
        .replace(",0.2,", ",2026-03-01,")
        .replace(",0.7,", ",2026-03-02,")
    )
    predictions.write_text(text.replace("scored at", "created_at"))
    refused = installed("model", "create", "--from", str(predictions), "--yes")
    assert refused.returncode == 2
    assert "created_at, updated_at may have the time of the prediction: which one? --time created_at" in refused.stderr
    assert installed.json("model", "list") == []
    created = installed.json("model", "create", "--from", str(predictions), "--yes", "--time", "updated_at")
    assert created["version"] == "v1"
    assert {column["name"]: column["target"] for column in created["columns"]}["created_at"] == "datetime"


def test_question_is_asked_on_a_terminal(installed: Dcmon, predictions: Path) -> None:
    """A wrong value is asked again; then the model is created on a yes."""
    text = predictions.read_text().replace("score,", "updated_at,").replace("scored at", "created_at")
    predictions.write_text(text.replace(",0.2,", ",2026-03-01,").replace(",0.7,", ",2026-03-02,"))
    terminal, stdin = pty.openpty()
    os.write(terminal, b"when\nupdated_at\ny\n")
    try:
        done = subprocess.run(
            [COMMAND, "model", "create", "shop", "--from", str(predictions)], env=installed.environment, stdin=stdin,
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    finally:
        os.close(stdin)
        os.close(terminal)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("which one?") == 2
    assert "updated_at=_dc_time" in done.stdout
    assert [model["name"] for model in installed.json("model", "list")] == ["shop"]


def test_rows_of_a_file_without_ids_are_numbered(installed: Dcmon, predictions: Path) -> None:
    """The same file gives the same ids; another file gives others."""
    predictions.write_text(predictions.read_text().replace("A-", "A").replace("order", "row"))
    text = "\n".join(line.partition(",")[2] for line in predictions.read_text().splitlines())
    predictions.write_text(text.replace(",note", ",label").replace("\n", "1\n") + "\n")
    refused = installed("model", "create", "shop", "--from", str(predictions), "--yes")
    assert refused.returncode == 2
    assert "--id '#row'" in refused.stderr
    installed.json("model", "create", "shop", "--from", str(predictions), "--yes", "--id", "#row")
    (loaded,) = installed.json("ingest", "file", str(predictions))
    assert (loaded["stored"], loaded["rejected"]) == (40, 0)
    (again,) = installed.json("ingest", "file", str(predictions), "--again")
    assert (again["stored"], again["duplicates"]) == (0, 40)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["shop", "--time", "when"], "--time says how to read a file: name it with --from FILE"),
        (["shop"], "Give --task regression, binary or multiclass"),
        (["--task", "binary"], "Name the model, or propose it from a file"),
        (["shop", "--from", "{path}", "--map", "order=_dc_key"], "with --from, a column becomes one of"),
        (["shop", "--from", "{path}", "--id", "nr"], "has no such column. Its columns are order, scored at"),
        (
            ["shop", "--from", "{path}", "--task", "class"],
            "There is no task 'class'. Do you mean 'multiclass'? It is one of regression, binary or multiclass.",
        ),
    ],
)
def test_wrong_options_are_refused(installed: Dcmon, predictions: Path, arguments: list[str], sentence: str) -> None:
    refused = installed("model", "create", *(argument.format(path=predictions) for argument in arguments))
    assert refused.returncode == 2, refused.stdout
    assert sentence in " ".join(refused.stderr.replace("│", " ").split())
