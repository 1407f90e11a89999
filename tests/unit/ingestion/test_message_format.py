"""Messages keep rows unchanged and describe rows that are invalid."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from dcmon.errors import KafkaMisconfigured
from dcmon.ingestion import kafka, message_format
from dcmon.settings import Kafka

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC)


def packed(*rows: bytes, per_message: int = 500) -> list[bytes]:
    return message_format.pack(7, "samples", 3, NOW, [msgspec.Raw(row) for row in rows], per_message)


def test_unpacked_rows_equal_packed_rows() -> None:
    rows = [b'{"a": 1.50,  "b": "\\u00e9"}', '{"é":null}'.encode(), b"17"]
    message = message_format.unpack(packed(*rows)[0], NOW)

    assert [bytes(row) for row in message.rows] == rows
    assert (message.org, message.kind, message.target, message.received_at) == (7, "samples", 3, NOW)


def test_message_has_a_bounded_number_of_rows() -> None:
    sizes = [len(message_format.unpack(message, NOW).rows) for message in packed(*[b"{}"] * 7, per_message=3)]
    assert sizes == [3, 3, 1]


def test_message_has_a_bounded_size() -> None:
    """A single row may exceed the bound."""
    row = b'"' + b"x" * 400_000 + b'"'
    assert [len(message_format.unpack(message, NOW).rows) for message in packed(row, row, row)] == [2, 1]
    assert max(map(len, packed(*[row] * 5))) < kafka.MAX_MESSAGE_BYTES
    assert len(packed(b'"' + b"x" * 2_000_000 + b'"')) == 1


def test_empty_list_of_rows_gives_no_message() -> None:
    assert packed() == []


def test_time_of_receipt_is_in_utc() -> None:
    east = NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert (
        b'"logged_at":"2026-11-24T10:00:00+00:00"'
        in message_format.pack(1, "labels", 1, east, [msgspec.Raw(b"1")], 1)[0]
    )


@pytest.mark.parametrize(
    ("header", "received_at"),
    [
        (b"", NOW),
        (b'"logged_at":null,', NOW),
        (b'"logged_at":"2026-11-24T11:30:00+02:00",', NOW - timedelta(minutes=30)),
        (b'"logged_at":"2099-01-01T00:00:00Z",', NOW),
    ],
)
def test_time_of_receipt_is_bounded_by_kafkas_time(header: bytes, received_at: datetime) -> None:
    """Otherwise labels of a producer with a wrong clock would replace all later labels."""
    message = message_format.unpack(b'{"v":1,"org":7,"kind":"labels",' + header + b'"target":3,"rows":[{}]}', NOW)

    assert message.received_at == received_at
    assert message_format.unpack(message_format.encode(message), NOW) == message


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        packed(b"1")[0][:-1],
        packed(b"1")[0].replace(b'"v":1', b'"v":2'),
        packed(b"1")[0].replace(b'"samples"', b'"models"'),
        packed(b"1")[0].replace(b'"org":7', b'"org":"7"'),
        packed(b"1")[0].replace(b"+00:00", b""),
        packed(b"1")[0].replace(b"2026-", b"0001-"),
        packed(b"1")[0].replace(b'"org":7', b'"org":10000000000'),
    ],
)
def test_invalid_message_is_unreadable(value: bytes | None) -> None:
    with pytest.raises(message_format.UnreadableMessage):
        message_format.unpack(value, NOW)


@pytest.mark.parametrize("odd", [b'{"age": NaN}', b'"\\ud800"', b"tru", b'{"a": "]}"}x', b"[" * 5000 + b"]" * 5000])
def test_invalid_row_of_any_message_is_isolated(odd: bytes) -> None:
    rows = [msgspec.Raw(row) for row in (b"1", odd, b'{"rows": [2]}')]
    (value,) = message_format.pack(7, "samples", 3, NOW, rows, 10)
    assert [bytes(row) for row in message_format.unpack(value, NOW).rows] == [bytes(row) for row in rows]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (Kafka(bootstrap_servers="127.0.0.1:1", security_protocol="TLS"), "security.protocol"),
        (
            Kafka(bootstrap_servers="127.0.0.1:1", security_protocol="SASL_SSL", sasl_mechanism="NONE", username="u"),
            "mechanism",
        ),
    ],
)
def test_invalid_client_settings_are_named(settings: Kafka, reason: str) -> None:
    with pytest.raises(KafkaMisconfigured, match=reason):
        kafka.ensure_topics(settings)


HEAD = packed(b"{}")[0][: -len(b"[{}]}")]


@pytest.mark.parametrize("tail", [b"[{}", b"[{}]}]}", b"[{]}", b'[{"a":1}],"more":[1]', b"[1 2]}"])
def test_message_with_valid_head_is_read_to_its_end(tail: bytes) -> None:
    """The head names the target; the rows are checked only when the message is stored."""
    value = HEAD + tail + b"]}"
    try:
        validated = message_format.validate(message_format.unpack(value, NOW), value)
    except message_format.UnreadableMessage:
        with pytest.raises((ValueError, msgspec.DecodeError)):
            msgspec.json.decode(value)
    else:
        assert [bytes(row) for row in validated.rows] == [
            msgspec.json.encode(r) for r in msgspec.json.decode(value)["rows"]
        ]


def test_invalid_row_of_packed_message_is_isolated() -> None:
    value = packed(b'{"a":1}', b'{"a":NaN}', b'{"a":2}')[0]
    validated = message_format.validate(message_format.unpack(value, NOW), value)

    assert [bytes(row) for row in validated.rows] == [b'{"a":1}', b'{"a":NaN}', b'{"a":2}']


def test_row_count_of_message_is_only_a_hint() -> None:
    value = packed(b"1", b"2", b"3")[0].replace(b'"n":3', b'"n":9')
    message = message_format.unpack(value, NOW)

    assert message.row_count == 9
    assert message_format.validate(message, value).row_count == len(message.rows) == 3
