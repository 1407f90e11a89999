"""Packed texts are counted and encoded as if each were an object of its own."""

from collections import Counter

from hypothesis import example, given
from hypothesis import strategies as st

from dcmon.storage import text_counts

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4).map(str.encode)
packed = texts | st.just(b"\xff") | st.binary(max_size=12).map(lambda value: value.replace(b"\0", b""))


rows_of_texts = st.lists(packed, min_size=1, max_size=20)


@given(rows_of_texts)
@example([b""])
@example([b"", b"a", b""])
@example([b"8 bytes!", b"8 bytes", b"8 bytes!"])
@example([b"\xff" * 8, b"nine byte"])
def test_counts_equal_those_of_separate_texts(rows: list[bytes]) -> None:
    counts = text_counts.counted(b"\0".join(rows))
    assert dict(counts) == dict(Counter(rows))
    assert all(type(text) is bytes and type(n) is int for text, n in counts.items())


@given(rows_of_texts)
@example([b"b", b"", b"a", b"b"])
@example([b"b", b"a text of more bytes", b"b"])
def test_encoded_texts_are_those_of_the_rows(rows: list[bytes]) -> None:
    codes, texts = text_counts.encoded(b"\0".join(rows))
    assert [texts[code] for code in codes.tolist()] == rows
    assert list(texts) == list(dict.fromkeys(rows))
