"""The messages of dcmon's topics: JSON, versioned, with one row or many.

    {"v": 1, "org": 1, "kind": "samples", "target": 7, "logged_at": "2026-11-24T10:00:00Z", "n": 1, "rows": [{…}]}

`org` is the organization's id. `kind` is "samples" or "labels". `target` is the id of a version for samples, of a model
for labels. `logged_at` is the time of receipt, which decides whether a time is in the future, and which of several
labels is the last. If it is missing, or later than Kafka's time of the message, Kafka's time is used. `rows` have the
format of the endpoint. `n` is the number of rows and may be missing. A message needs no key, because the order of
messages does not matter. docs/ingestion.md describes the format for producers.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw

from dcmon import errors
from dcmon.ingestion import json_splitter
from dcmon.ingestion.raw_rows import DECODE_ERRORS, RowArray
from dcmon.states import RowKind

Id = Annotated[int, Meta(ge=1, le=2**31 - 1)]
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
MAX_ROWS_BYTES = 900_000  # all rows of a message, below the broker's default limit of 1 MB for a batch


@dataclass(frozen=True)
class Message:
    """A message with raw rows. `row_count` is a hint until the message is validated."""

    org: int
    kind: RowKind
    target: int
    rows: Sequence[Raw]
    received_at: datetime
    row_count: int

    @property
    def is_validated(self) -> bool:
        """True if the rows are known to be a JSON array; see `validate`."""
        return not isinstance(self.rows, RowArray) or self.rows.is_validated


class _Json(msgspec.Struct, frozen=True):
    v: Literal[1]
    org: Id
    kind: RowKind
    target: Id
    rows: list[Raw]
    logged_at: datetime | None = None


_DECODER = msgspec.json.Decoder(_Json)
_ROWS = re.compile(rb'"rows"\s*:\s*(?=\[)')
# The head of messages that `pack` makes. With this head, the target of a message is known without parsing its rows.
_HEAD = re.compile(
    rb'\{"v":1,"org":([1-9]\d{0,8}),"kind":"(samples|labels)","target":([1-9]\d{0,8}),'
    rb'"logged_at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?\+00:00)","n":([1-9]\d{0,5}),"rows":(?=\[)'
)


class UnreadableMessage(Exception):
    """A message that is not in dcmon's format. The text of the exception is the reason."""


def unpack(value: bytes | None, sent_at: datetime) -> Message:
    """Read a message. `sent_at` is Kafka's time of the message.

    Raises UnreadableMessage. If only the head was read, `validate` may raise it later.
    """
    value = value or b""
    head = _HEAD.match(value)
    if head is None or not value.endswith(b"]}"):
        return _parse_completely(value, sent_at)
    try:
        logged_at = datetime.fromisoformat(head[4].decode())
    except ValueError:
        return _parse_completely(value, sent_at)
    org, kind, target, n = int(head[1]), RowKind(head[2].decode()), int(head[3]), int(head[5])
    return Message(org, kind, target, RowArray(memoryview(value)[head.end() : -1]), _received_at(logged_at, sent_at), n)


def validate(message: Message, value: bytes) -> Message:
    """Check that the rows are a JSON array, and return the message with their number. Raises UnreadableMessage."""
    try:
        return message if message.is_validated else replace(message, row_count=len(message.rows))
    except errors.InvalidInput:
        return _parse_completely(value, message.received_at)


def _parse_completely(value: bytes, sent_at: datetime) -> Message:
    try:
        parsed = _DECODER.decode(value)
    except DECODE_ERRORS as error:
        parsed = _parse_with_invalid_rows(value, error)
    received_at = _received_at(parsed.logged_at, sent_at)
    return Message(parsed.org, parsed.kind, parsed.target, parsed.rows, received_at, len(parsed.rows))


def _received_at(logged_at: datetime | None, sent_at: datetime) -> datetime:
    if logged_at is not None and logged_at.tzinfo is None:
        raise UnreadableMessage("logged_at has no offset")
    if logged_at is not None and logged_at < EARLIEST:
        raise UnreadableMessage("logged_at is before 1970")
    return min(logged_at or sent_at, sent_at)


def _parse_with_invalid_rows(value: bytes, decode_error: Exception) -> _Json:
    """Parse a message with a row that is invalid JSON, such as {"age": NaN}. The row decoder rejects that row later."""
    rows = _ROWS.search(value)
    try:
        if rows is None:
            raise decode_error
        array = json_splitter.split_array(value, rows.end())
        message = _DECODER.decode(value[: rows.end()] + b"[]" + value[array.end :])
    except (*DECODE_ERRORS, json_splitter.UnbalancedJson) as error:
        raise UnreadableMessage(f"not a message of version 1: {error}") from error
    return msgspec.structs.replace(message, rows=array.elements)


def pack(
    org: int, kind: RowKind, target: int, logged_at: datetime, rows: Sequence[msgspec.Raw], per_message: int
) -> list[bytes]:
    """Pack rows into messages, in order, with at most `per_message` rows each. Rows are copied unchanged."""
    return [
        _head(org, kind, target, logged_at, len(part)) + b",".join(part) + b"]}" for part in _parts(rows, per_message)
    ]


def encode(message: Message) -> bytes:
    """Encode a message in the format that `unpack` reads."""
    head = _head(message.org, message.kind, message.target, message.received_at, len(message.rows))
    return head + b",".join(message.rows) + b"]}"


def _head(org: int, kind: RowKind, target: int, logged_at: datetime, n: int) -> bytes:
    time = logged_at.astimezone(UTC).isoformat()
    return f'{{"v":1,"org":{org},"kind":"{kind}","target":{target},"logged_at":"{time}","n":{n},"rows":['.encode()


def _parts(rows: Sequence[msgspec.Raw], per_message: int) -> Iterator[list[bytes]]:
    part, size = list[bytes](), 0
    for row in map(bytes, rows):
        if part and (len(part) >= per_message or size + len(row) > MAX_ROWS_BYTES):
            yield part
            part, size = [], 0
        part.append(row)
        size += len(row) + 1
    if part:
        yield part
