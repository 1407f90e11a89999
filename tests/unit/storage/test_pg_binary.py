"""The bulk encoder of binary values agrees with PostgreSQL's own encoding, value by value."""

import struct
from datetime import UTC, datetime, timedelta

import psycopg
from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import Transformer

from dcmon.db import Array
from dcmon.storage import pg_binary, sample_ids

TIMES = st.timedeltas(timedelta(days=-730_000), timedelta(days=2_920_000)).map(lambda since: pg_binary.EPOCH + since)


def round_trip(array: Array) -> object:
    """Return the values that psycopg decodes from an encoded array."""
    loader = Transformer().get_loader(array.oid, psycopg.pq.Format.BINARY)
    return loader.load(bytes(array))


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])) | st.none()))
def test_texts_survive_a_round_trip(values: list[str | None]) -> None:
    assert round_trip(pg_binary.texts(values)) == values


@given(st.lists(st.floats(allow_nan=False) | st.none()))
def test_floats_survive_a_round_trip(values: list[float | None]) -> None:
    assert round_trip(pg_binary.float8s(values)) == values


@given(st.lists(st.floats(allow_nan=False)))
def test_list_of_floats_is_encoded_like_an_array(values: list[float]) -> None:
    assert pg_binary.floats(values) == bytes(pg_binary.float8s(values))


@given(st.lists(TIMES))
def test_times_survive_a_round_trip(values: list[datetime]) -> None:
    assert round_trip(pg_binary.times([pg_binary.micros(value) for value in values])) == values
    assert [pg_binary.time(pg_binary.micros(value)) for value in values] == values


@given(st.lists(st.uuids()))
def test_uuids_survive_a_round_trip(values: list[object]) -> None:
    assert round_trip(pg_binary.uuids([value.bytes for value in values])) == values  # type: ignore[attr-defined]


@given(st.lists(st.integers(-(2**15), 2**15 - 1)))
def test_integers_survive_a_round_trip(values: list[int]) -> None:
    assert (
        round_trip(pg_binary.int2s(values))
        == round_trip(pg_binary.int4s(values))
        == round_trip(pg_binary.int8s(values))
        == values
    )


@given(st.lists(st.binary(min_size=16, max_size=16)))
def test_level_is_the_number_of_leading_zero_bits_of_the_hash(keys: list[bytes]) -> None:
    keys = [*keys, bytes(16), b"\0\0\0\1" + bytes(12)]
    hashes, levels = sample_ids.levels_of(keys)

    for key, hash_, level in zip(keys, hashes.tolist(), levels.tolist(), strict=True):
        assert hash_ == struct.unpack("!I", key[:4])[0] >> 1
        assert level == 31 - hash_.bit_length()


def test_epoch_is_that_of_postgresql() -> None:
    assert pg_binary.micros(datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=1)) == 1_000_000
