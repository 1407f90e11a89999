"""The JSON splitter finds the elements of an array, also around an invalid element."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmon.ingestion import json_splitter
from dcmon.ingestion.json_splitter import TooManyElements, UnbalancedJson, split_array

values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.lists(values), st.booleans(), st.sampled_from([None, 1]))
def test_split_array_agrees_with_a_decoder(items: list[Any], ascii_: bool, indent: int | None) -> None:
    body = json.dumps(items, ensure_ascii=ascii_, indent=indent).encode()
    elements, end = split_array(body)
    assert [json.loads(bytes(element)) for element in elements] == items
    assert end == len(body)


@given(st.lists(values), st.integers(0, 20), st.sampled_from(["NaN", "-Infinity", '"\\ud800"', "tru", "01", "x"]))
def test_invalid_element_is_isolated(items: list[Any], at: int, odd: str) -> None:
    parts = [json.dumps(value) for value in items]
    parts.insert(at, f'{{"a": {odd}}}')
    elements, _ = split_array(("[" + ",".join(parts) + "]").encode())
    assert [bytes(value).decode() for value in elements] == parts


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_split_or_unbalanced(body: bytes) -> None:
    try:
        elements, end = split_array(b"[" + body)
    except UnbalancedJson:
        return
    assert end <= len(body) + 1
    assert all(isinstance(element, msgspec.Raw) and bytes(element).strip(b" \t\r\n") for element in elements)


@pytest.mark.parametrize("body", [b"[", b'["', b"[1,]", b"[,1]", b"[{]}", b'[{"a": 1]', b"[1,,2]"])
def test_unmatched_brackets_are_unbalanced(body: bytes) -> None:
    with pytest.raises(UnbalancedJson):
        split_array(body)


def test_deeply_nested_element_is_one_element() -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    elements, _ = split_array(b"[" + deep + b", 1]")
    assert [bytes(element) for element in elements] == [deep, b"1"]


@given(st.lists(values), st.integers(2, 60), st.sampled_from([None, 1]))
def test_split_array_in_windows_finds_the_same(items: list[Any], window: int, indent: int | None) -> None:
    """Rows and strings that end behind a window, also behind several, are found as in one search."""
    body = json.dumps(items, indent=indent, ensure_ascii=False).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_splitter, "WINDOW_BYTES", window)
        elements, end = split_array(body)
    assert [json.loads(bytes(element)) for element in elements] == items
    assert end == len(body)


@given(st.text(st.sampled_from('"\\{}[], a'), max_size=60), st.integers(2, 20))
def test_odd_bytes_in_windows_are_split_alike(odd: str, window: int) -> None:
    body = b"[" + odd.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_splitter, "WINDOW_BYTES", window)
        in_windows = _split_or_none(body)
    assert in_windows == _split_or_none(body)


def _split_or_none(body: bytes) -> list[bytes] | None:
    try:
        return [bytes(element) for element in split_array(body).elements]
    except UnbalancedJson:
        return None


def test_more_elements_than_wanted_are_refused() -> None:
    assert len(split_array(b"[1,2,3]", 0, 3).elements) == 3
    with pytest.raises(TooManyElements):
        split_array(b"[1,2,3,4]", 0, 3)
