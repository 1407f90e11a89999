"""A file suggests a model: tasks, fields, types, and what it leaves open."""

import csv
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from dcmon import errors
from dcmon.ingestion.files import column_mapping, dialect, reader
from dcmon.ingestion.files.proposal import profile, proposal
from dcmon.ingestion.files.proposal.choices import Choices
from dcmon.ingestion.files.proposal.proposal import Proposal, Use
from dcmon.storage.columns import LABEL, PREDICTION, PROBABILITIES, SAMPLE_ID, TIME, probability_field
from tests.helpers.examples import examples

START = datetime(2026, 3, 1, tzinfo=UTC)
ROWS = 60
Table = Mapping[str, Sequence[Any]]


def base(**columns: Sequence[Any]) -> dict[str, Sequence[Any]]:
    """Return a table with ids, times and two predicted classes, and further columns."""
    return {
        "id": [f"r{number}" for number in range(ROWS)],
        "timestamp": [(START + timedelta(hours=number)).isoformat() for number in range(ROWS)],
        "prediction": ["yes", "no"] * (ROWS // 2),
        **columns,
    }


def cycle(*values: Any) -> list[Any]:
    return [values[number % len(values)] for number in range(ROWS)]


def write(table: Table, path: Path) -> Path:
    rows = [dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)]
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.table({name: pyarrow.array(values) for name, values in table.items()}), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(table))
            writer.writeheader()
            writer.writerows(rows)
    return path


def propose(path: Path, choices: Choices | None = None, **options: str) -> Proposal:
    with reader.open_file(str(path), dialect=dialect.create(options)) as file:
        return proposal.of_file(file, choices or Choices())


def proposed(tmp_path: Path, choices: Choices | None = None, **columns: Sequence[Any]) -> Proposal:
    return propose(write(base(**columns), tmp_path / "rows.csv"), choices)


KINDS: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.lists(st.integers(-(2**31), 2**31 - 1), min_size=3, max_size=8, unique=True),
    "bigint": st.lists(st.integers(2**31, 2**60), min_size=3, max_size=8, unique=True),
    "numeric": st.lists(st.integers(-(10**6), 10**6).map(lambda n: n + 0.5), min_size=2, max_size=8, unique=True),
    "boolean": st.just([True, False]),
    "categorical": st.lists(st.text("abcdefgh", min_size=6, max_size=9), min_size=2, max_size=8, unique=True),
    "datetime": st.lists(st.integers(0, 10**6), min_size=2, max_size=8, unique=True).map(
        lambda minutes: [(START + timedelta(minutes=minute)).isoformat() for minute in minutes]
    ),
}


@st.composite
def schemas(draw: st.DrawFn) -> tuple[dict[str, str], dict[str, list[Any]]]:
    """Draw types by column, and values that have them; nulls may be among them."""
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=6))
    types = {f"feature {letter}": kind for letter, kind in zip("ABCDEF", kinds, strict=False)}
    columns = {}
    for name, kind in types.items():
        columns[name] = cycle(*draw(KINDS[kind]), *([None] if draw(st.booleans()) else []))
    return types, columns


@settings(max_examples=examples(25))
@given(schema=schemas(), suffix=st.sampled_from([".csv", ".jsonl", ".parquet"]))
def test_table_of_a_known_schema_is_proposed_back(
    tmp_path_factory: pytest.TempPathFactory, schema: tuple[dict[str, str], dict[str, list[Any]]], suffix: str
) -> None:
    types, columns = schema
    found = propose(write(base(**columns), tmp_path_factory.mktemp("schema") / f"rows{suffix}"))
    assert not found.questions
    assert found.by_type(Use.FEATURE) == types
    assert (found.task, found.classes) == ("binary", ["no", "yes"])
    assert found.fields == {SAMPLE_ID: "id", TIME: "timestamp", PREDICTION: "prediction"}


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (cycle("1.0", "2.0", ""), "integer"),  # whole numbers with NaN, as pandas writes them
        (cycle("1.0", "2.5", ""), "numeric"),
        (cycle("1", "0"), "boolean"),
        (cycle("1.0", "0.0", ""), "boolean"),
        (cycle("Yes", "No", "NA"), "boolean"),
        (cycle("WAHR", "FALSCH"), "boolean"),
        (cycle("04109", "10115", "80331"), "categorical"),
        (cycle("3", "NA", "5"), "integer"),
        (cycle("2026-03-01", "2026-03-02"), "datetime"),
        (cycle("31/12/2025", "01/02/2026"), "datetime"),
        (cycle("7"), "integer"),
        (cycle("same"), "categorical"),
        ([f"a comment about order {number}" for number in range(ROWS)], "text"),
        (cycle("[1, 2]", "[3, 4]"), "array_float"),
    ],
)
def test_column_has_the_type_that_ingestion_takes(tmp_path: Path, values: list[Any], kind: str) -> None:
    assert proposed(tmp_path, value=values).by_type(Use.FEATURE) == {"value": kind}


def test_empty_column_is_ignored_and_ids_are_no_features(tmp_path: Path) -> None:
    found = proposed(
        tmp_path, nothing=cycle(""), customer_id=[number // 2 for number in range(ROWS)], zip=cycle(10115, 80331),
        store_id=cycle(1, 2, 3), index=list(range(ROWS)), **{"Unnamed: 0": list(range(ROWS))},
    )  # fmt: skip
    assert found.by_type(Use.FEATURE) == {"zip": "categorical", "store_id": "categorical"}
    assert found.by_type(Use.ADDITIONAL) == {"customer_id": "categorical", "index": "integer"}
    assert found.file_columns == {
        "id": SAMPLE_ID, "timestamp": TIME, "prediction": PREDICTION, "nothing": ""
    }  # fmt: skip


@pytest.mark.parametrize(
    ("prediction", "label", "task", "classes"),
    [
        (cycle(1, 0), None, "binary", ["0", "1"]),
        (cycle(1), cycle(1), "binary", ["0", "1"]),
        (cycle(1, 0), cycle("True", "False"), "binary", ["0", "1"]),
        (cycle("1.0", "0.0"), cycle("1", "0"), "binary", ["0", "1"]),
        (cycle("cat", "dog"), cycle("cat", "eel"), "multiclass", ["cat", "dog", "eel"]),
        (cycle(*range(10)), cycle(*range(10)), "multiclass", sorted(map(str, range(10)))),
        (cycle(1.5, 2.25), cycle(1, 2), "regression", None),
        ([number * 3 for number in range(ROWS)], None, "regression", None),
        (cycle("True", "False"), None, "binary", ["False", "True"]),
    ],
)
def test_task_and_classes_are_those_of_predictions_and_labels(
    tmp_path: Path, prediction: list[Any], label: list[Any] | None, task: str, classes: list[str] | None
) -> None:
    found = proposed(tmp_path, prediction=prediction, **({} if label is None else {"target": label}))
    assert not found.questions
    assert (found.task, found.classes) == (task, classes)
    assert found.fields.get(LABEL) == (None if label is None else "target")


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"timestamp": cycle("x", "y")}, "No column has times"),
        ({"time": cycle("2026-03-01", "2026-03-02")}, "timestamp, time may have the time of the prediction"),
        ({"id": cycle("a", "b")}, "id has values that repeat or are missing"),
        ({"uuid": [f"u{number}" for number in range(ROWS)]}, "id, uuid may have the id of each row"),
        ({"prediction": cycle("a")}, "only the class a"),
        ({"prediction": cycle(3, 5, 9)}, "classes or amounts? --task"),
        ({"prediction": cycle(0.1, 0.6, 0.9), "Ist": cycle(0, 1)}, "Then add a column with the predicted class"),
        ({"pred": cycle("yes", "no")}, "prediction, pred may have the prediction"),
        ({"y": cycle("yes", "no"), "actual": cycle("yes", "no")}, "y, actual may have the label"),
        ({"day of birth": cycle("01/02/2026", "03/04/2026")}, "--date-order day or month"),
    ],
)
def test_what_is_not_certain_is_a_question(tmp_path: Path, columns: dict[str, list[Any]], sentence: str) -> None:
    (question, *_) = proposed(tmp_path, **columns).questions
    assert sentence in question.sentence


def test_file_without_predictions_asks_for_them(tmp_path: Path) -> None:
    table = {name: values for name, values in base(score=cycle(0.1, 0.9)).items() if name != "prediction"}
    (question,) = propose(write(table, tmp_path / "rows.csv")).questions
    assert "score may be a prediction; or a probability" in question.sentence
    assert question.option == "prediction"


def test_options_replace_guesses(tmp_path: Path) -> None:
    choices = Choices(
        task="multiclass", fields={TIME: "time", SAMPLE_ID: column_mapping.ROW_NUMBER, LABEL: "none"},
        features={"zone": "categorical"}, additional={"note": "text"}, ignored=frozenset({"id"}),
        classes=["yes", "no", "maybe"],
    )  # fmt: skip
    found = proposed(
        tmp_path, choices, time=cycle("2026-03-01"), zone=cycle(1, 2), note=cycle("a"), label=cycle("yes"),
    )  # fmt: skip
    assert not found.questions
    assert (found.task, found.classes) == ("multiclass", ["maybe", "no", "yes"])
    assert found.fields == {SAMPLE_ID: "#row", TIME: "time", PREDICTION: "prediction"}
    assert found.by_type(Use.FEATURE) == {"timestamp": "datetime", "zone": "categorical"}
    assert found.by_type(Use.ADDITIONAL) == {"note": "text", "label": "categorical"}
    with pytest.raises(errors.InvalidInput, match=r"--time when: .* has no such column"):
        proposed(tmp_path, Choices(fields={TIME: "when"}))


@pytest.mark.parametrize(
    ("scores", "is_field"),
    [
        (cycle(0.7, 0.2), True),
        (cycle("[0.3, 0.7]", "[0.8, 0.2]"), True),
        (cycle(0.2, 0.7), False),  # that of the first class
        (cycle(0.9, 0.8, 0.7, 0.95), False),  # the confidence in the prediction
        (cycle("[0.3, 0.3, 0.4]"), False),
        (cycle(7, 2), False),
    ],
)
def test_only_probabilities_of_the_classes_are_taken(tmp_path: Path, scores: list[Any], is_field: bool) -> None:
    found = proposed(tmp_path, proba=scores)
    assert (PROBABILITIES in found.fields) is is_field
    assert not found.questions


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize(
    "names",
    [("proba_0", "proba_1", "proba_2"), ("p_1", "p_2", "p_3"), ("b prob", "c prob", "a prob"), ("b", "c", "a")],
)
def test_columns_of_single_classes_are_probabilities(tmp_path: Path, names: Sequence[str], suffix: str) -> None:
    """By number they are in the order of the classes, by name in any order."""
    classes = [name[0] for name in names] if names[0][0] == "b" else ["a", "b", "c"]
    shares = {name: [0.6 if row % 3 == at else 0.2 for row in range(ROWS)] for at, name in enumerate(names)}
    table = base(prediction=cycle(*classes), amount=[row / 7 for row in range(ROWS)], **shares)
    proposed = propose(write(table, tmp_path / f"rows{suffix}"))
    wanted = {probability_field(label): name for label, name in zip(classes, names, strict=True)}
    assert {name: column for name, column in proposed.fields.items() if name.startswith(PROBABILITIES)} == wanted
    assert proposed.by_type(Use.FEATURE) == {"amount": "numeric"}
    assert proposed.by_type(Use.ADDITIONAL) == {}


@pytest.mark.parametrize(
    "shares",
    [
        [(0.9, 0.1, 0.1), (0.1, 0.9, 0.1), (0.1, 0.1, 0.9)],  # they don't add up to 1
        [(0.8, 0.1, 0.1), (0.1, 0.1, 0.8), (0.1, 0.8, 0.1)],  # of two classes that have changed places
    ],
)
def test_columns_that_contradict_predictions_are_none(tmp_path: Path, shares: Sequence[Sequence[float]]) -> None:
    columns = {f"proba_{at}": cycle(*[row[at] for row in shares]) for at in range(3)}
    proposed = propose(write(base(prediction=cycle("a", "b", "c"), **columns), tmp_path / "rows.csv"))
    assert proposed.by_type(Use.ADDITIONAL) == dict.fromkeys(columns, "numeric")


def test_label_is_the_column_that_the_prediction_is_named_after(tmp_path: Path) -> None:
    table = {name: values for name, values in base(price=cycle(1.5), size=cycle(3, 4)).items() if name != "prediction"}
    found = propose(write({**table, "predicted_price": cycle(2.5, 3.5)}, tmp_path / "rows.csv"))
    assert (found.fields[PREDICTION], found.fields[LABEL], found.task) == ("predicted_price", "price", "regression")


def test_thousand_columns_of_any_name_are_proposed(tmp_path: Path) -> None:
    names = ["xmin", 'he said "hi"', "a,b", "Größe 🙂", "x" * 200, "=1+1", "ctid", " lead"]
    columns = {name: cycle(0.5, 1.5) for name in [*names, *(f"f{number}" for number in range(1_000))]}
    found = proposed(tmp_path, **columns)
    assert found.by_type(Use.FEATURE) == dict.fromkeys(columns, "numeric")


def test_field_names_of_dcmon_need_no_map(tmp_path: Path) -> None:
    names = {"id": SAMPLE_ID, "timestamp": TIME, "prediction": PREDICTION}
    table = {names.get(name, name): values for name, values in base(age=cycle(1.5)).items()}
    assert propose(write(table, tmp_path / "rows.csv")).file_columns == {}


def test_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,prediction\n")
    with pytest.raises(errors.InvalidInput, match="has no row that can be read"):
        propose(path)


def test_other_marks_of_numbers_are_proven_by_the_file(tmp_path: Path) -> None:
    """As Excel writes numbers in German: one column proves the marks for those that prove nothing."""
    found = proposed(
        tmp_path, betrag=cycle("1,5", "12,25", "1.234,5"), menge=cycle("1.234", "2.500"), score=cycle("0,9", "0,2"),
    )  # fmt: skip
    assert found.by_type(Use.FEATURE) == {"betrag": "numeric", "menge": "numeric"}
    assert found.fields[PROBABILITIES] == "score"
    (question,) = proposed(tmp_path, amount=cycle("1,234", "2,500")).questions
    assert question.option == "decimal"
    assert "amount has '1,234'" in question.sentence


def test_classes_after_the_first_rows_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file may be sorted by class."""
    monkeypatch.setattr(profile, "MAX_ROWS", 10)
    table = base(prediction=["a"] * 20 + ["b"] * 20 + ["c"] * 20, label=cycle("a"))
    found = propose(write(table, tmp_path / "rows.csv"))
    assert (found.rows, found.is_complete, found.classes) == (10, False, ["a", "b", "c"])


def test_word_in_labels_is_no_class(tmp_path: Path) -> None:
    """R writes NA for a label that is not known yet."""
    found = proposed(tmp_path, label=cycle("yes", "no", "NA"))
    assert found.classes == ["no", "yes"]
    (label,) = [column for column in found.columns if column.target == LABEL]
    assert label.reason == "its name; where it is NA, give --null NA when you load the file"
