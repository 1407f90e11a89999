"""The tables of docs/values.md are true: each value of JSON, and each cell of a file, is what they say."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import pytest

from dcmon.ingestion.files import value_conversion
from dcmon.ingestion.rejected_row import RejectedRow
from dcmon.ingestion.row_types import sample_row_type
from dcmon.storage import categories, probabilities
from dcmon.storage.columns import TYPES, Columns
from tests.helpers.paths import DOCS

REFUSED = "refused"
PAGE = (DOCS / "values.md").read_text()
PROBABILITIES = "_dc_prediction_probabilities"
GOOD = {"_dc_sample_id": "a", "_dc_time": "2026-03-01T12:00:00Z"}


class Line(NamedTuple):
    """A value of a table: the column's type, the value as it is sent, and what it is."""

    kind: str
    sent: str
    wanted: str


def lines() -> Iterator[Line]:
    for row in re.findall(r"^\| (.+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE):
        kinds, sent, wanted = row
        if kinds == "type" or kinds.startswith("---"):
            continue
        named = [kinds] if kinds.startswith(("class", "prob")) else re.findall(r"`([^`]+)`", kinds)
        yield from (Line(kind, value, wanted.strip("`")) for kind in named for value in re.findall(r"`([^`]+)`", sent))


def of_files() -> Iterator[tuple[str, str]]:
    for sent, wanted in re.findall(r"^\| (`[^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE):
        yield from ((cell, wanted.strip("`")) for cell in re.findall(r"`([^`]+)`", sent))


def stored(line: Line) -> Any:
    """Return the value of a row of JSON as it is stored."""
    classes = re.findall(r"`([^`]+)`", line.kind) or ["0", "1"]
    if line.kind.startswith("prob"):
        field, columns = PROBABILITIES, Columns("binary", {}, {}, classes)
    elif line.kind.startswith("class"):
        field, columns = "_dc_prediction", Columns("binary", {}, {}, classes)
    else:
        field, columns = "x", Columns("binary", {"x": line.kind}, {}, classes)
    row_type = sample_row_type(columns)
    text = json.dumps({**GOOD, "_dc_prediction": classes[0], field: "@@"}).replace('"@@"', line.sent)
    decoded = [rows for part in row_type.decode_all([msgspec.Raw(text.encode())]) for rows in part]
    if isinstance(decoded[0], RejectedRow):
        raise decoded[0]
    value = decoded[0][row_type.names.index(field)]
    if line.kind == "categorical":
        return categories.normalize(value)
    return probabilities.share(value) if field == PROBABILITIES else value


@pytest.mark.parametrize("line", list(lines()), ids=lambda line: f"{line.kind}-{line.sent}")
def test_value_of_json_is_as_documented(line: Line) -> None:
    if line.wanted != REFUSED:
        wanted = json.loads(line.wanted)
        value = stored(line)
        value = value.astimezone(UTC).isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        assert (type(value), value) == (type(wanted), wanted)
        return
    with pytest.raises(RejectedRow) as raised:
        stored(line)
    sent = json.loads(line.sent)
    is_text = isinstance(sent, str)
    assert (repr(sent) if is_text else msgspec.json.encode(sent).decode()) in raised.value.detail


def test_each_type_is_documented() -> None:
    documented = {line.kind.split(",")[0] for line in lines()}
    assert documented >= set(TYPES) - {"array_float_2d"} | {"class", "probabilities"}


@pytest.mark.parametrize(("cell", "wanted"), list(of_files()))
def test_time_of_a_file_is_as_documented(cell: str, wanted: str) -> None:
    value = value_conversion.text_converter("datetime")(cell)
    assert value == (cell if wanted == REFUSED else datetime.fromisoformat(json.loads(wanted)))
    assert wanted == REFUSED or value.tzinfo == UTC
