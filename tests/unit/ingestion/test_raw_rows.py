"""Large bodies are split in chunks, with the result of one call, and hostile ones within bounds."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmon import errors
from dcmon.ingestion import raw_rows
from dcmon.ingestion.raw_rows import split_rows

rows_of_any_shape = st.lists(
    st.dictionaries(st.text(max_size=3), st.sampled_from([1, "},", '}, {"', "\\", [{"a": 1}, {}], {"b": [{}]}, None])),
    min_size=1,
    max_size=12,
)


@given(rows_of_any_shape, st.integers(0, 30), st.sampled_from([None, 1]), st.sampled_from(["", " ", "\n\t"]))
def test_split_rows_in_small_chunks_finds_all(rows: Any, chunk: int, indent: int | None, blanks: str) -> None:
    body = f"{blanks}{json.dumps(rows, indent=indent)}{blanks}".encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw_rows, "CHUNK_BYTES", chunk)
        patch.setattr(raw_rows, "MAX_CHUNK_BYTES", chunk + 40)
        assert [json.loads(bytes(row)) for row in split_rows(body)] == rows


@pytest.mark.parametrize(
    "body", [b'[{"a":1},]', b'[{"a":1},,{"a":1}]', b'[{"a":1}]]', b'[{"a":1}', b"", b" ", b'"[{}]"', b'[{"a":1}] x']
)
def test_body_that_is_no_array_is_refused(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_rows, "CHUNK_BYTES", 0)
    with pytest.raises(errors.Unprocessable):
        split_rows(body)


@pytest.mark.parametrize("row", [b"1", b'""', b"{}", b'{"a": NaN}', b"[]"])
def test_body_with_too_many_rows_is_refused(row: bytes) -> None:
    """50 million Raw objects of a body of 100 MB would take 5 GB, and several seconds in one call."""
    with pytest.raises(errors.TooManyRows):
        split_rows(b"[" + b",".join([row] * (raw_rows.MAX_ROWS + 100_000)) + b"]")


def test_row_of_megabytes_is_found_among_others() -> None:
    long = b'{"a": "' + b'x\\"' * 1_000_000 + b'"}'
    assert [bytes(row) for row in split_rows(b'[{"b": 1}, ' + long + b', {"c": "}, {"}]')] == [
        b'{"b": 1}',
        long,
        b'{"c": "}, {"}',
    ]
