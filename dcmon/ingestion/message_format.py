"""The messages of dcmon's topics: JSON, versioned, one row or many in each.

    {"v": 1, "org": 1, "kind": "samples", "target": 7, "logged_at": "2026-11-24T10:00:00Z", "n": 1, "rows": [{…}]}

`org` is the organization's id; `kind` is "samples" or "labels"; `target` is the version's id for samples, the model's
for labels; `logged_at` is the time of receipt, which decides what is in the future and which label is the last: when it
is missing, or later than the time at which Kafka has the message, that one counts; `rows` are as the endpoint takes
them; `n`, which may be missing, says how many there are. No key is needed: order between messages does not matter.
docs/ingestion.md says it for those who send.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta, Raw

from dcmon import errors
from dcmon.ingestion import json_splitter
from dcmon.ingestion.raw_rows import RowArray

Kind = Literal["samples", "labels"]
Id = Annotated[int, Meta(ge=1, le=2**31 - 1)]
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LARGEST = 900_000  # bytes of rows in a message, below the broker's default of 1 MB for a batch


@dataclass(frozen=True)
class Message:
    """A message as it was read; rows are still undecoded. `row_count` is a hint until the message is validated."""

    org: int
    kind: Kind
    target: int
    rows: Sequence[Raw]
    received_at: datetime
    row_count: int

    @property
    def is_sound(self) -> bool:
        """Whether it is known that its rows can be told apart; `settled` finds out."""
        return not isinstance(self.rows, RowArray) or self.rows.is_sound


class _Read(msgspec.Struct, frozen=True):
    v: Literal[1]
    org: Id
    kind: Kind
    target: Id
    rows: list[Raw]
    logged_at: datetime | None = None


_DECODER = msgspec.json.Decoder(_Read)
_ROWS = re.compile(rb'"rows"\s*:\s*(?=\[)')
# How `pack` begins a message: what follows need not be read to know where it goes.
_HEAD = re.compile(
    rb'\{"v":1,"org":([1-9]\d{0,8}),"kind":"(samples|labels)","target":([1-9]\d{0,8}),'
    rb'"logged_at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?\+00:00)","n":([1-9]\d{0,5}),"rows":(?=\[)'
)


class UnreadableMessage(Exception):
    """A message that is none of ours; the message says why."""


def unpack(value: bytes | None, sent_at: datetime) -> Message:
    """A message that Kafka has as sent at that time. Raises Unreadable, then or when it is `settled`."""
    value = value or b""
    head = _HEAD.match(value)
    if head is None or not value.endswith(b"]}"):
        return _unpack_carefully(value, sent_at)
    try:
        logged_at = datetime.fromisoformat(head[4].decode())
    except ValueError:
        return _unpack_carefully(value, sent_at)
    org, kind, target, n = int(head[1]), cast("Kind", head[2].decode()), int(head[3]), int(head[5])
    return Message(org, kind, target, RowArray(memoryview(value)[head.end() : -1]), _received_at(logged_at, sent_at), n)


def validated(message: Message, value: bytes) -> Message:
    """A message whose rows can be told apart. Raises Unreadable."""
    try:
        return message if message.is_sound else replace(message, row_count=len(message.rows))
    except errors.InvalidInput:
        return _unpack_carefully(value, message.received_at)


def _unpack_carefully(value: bytes, sent_at: datetime) -> Message:
    try:
        read = _DECODER.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        read = _with_a_bad_row(value, error)
    received_at = _received_at(read.logged_at, sent_at)
    return Message(read.org, read.kind, read.target, read.rows, received_at, len(read.rows))


def _received_at(logged_at: datetime | None, sent_at: datetime) -> datetime:
    if logged_at is not None and logged_at.tzinfo is None:
        raise UnreadableMessage("logged_at has no offset")
    if logged_at is not None and logged_at < EARLIEST:
        raise UnreadableMessage("logged_at is before 1970")
    return min(logged_at or sent_at, sent_at)


def _with_a_bad_row(value: bytes, why: Exception) -> _Read:
    """A message of which a row is no JSON, like {"age": NaN}: that row is set apart later, with its reason."""
    rows = _ROWS.search(value)
    try:
        if rows is None:
            raise why
        found, end = json_splitter.split_array(value, rows.end())
        message = _DECODER.decode(value[: rows.end()] + b"[]" + value[end:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, json_splitter.UnbalancedJson) as error:
        raise UnreadableMessage(f"not a message of version 1: {error}") from error
    return msgspec.structs.replace(message, rows=found)


def pack(
    org: int, kind: Kind, target: int, logged_at: datetime, rows: Sequence[msgspec.Raw], per_message: int
) -> list[bytes]:
    """Messages that hold all rows, in order, at most `per_message` in each. Rows are copied as they are."""
    return [
        _head(org, kind, target, logged_at, len(part)) + b",".join(part) + b"]}" for part in _parts(rows, per_message)
    ]


def encode(message: Message) -> bytes:
    """A message as it can be unpacked again."""
    head = _head(message.org, message.kind, message.target, message.received_at, len(message.rows))
    return head + b",".join(message.rows) + b"]}"


def _head(org: int, kind: Kind, target: int, logged_at: datetime, n: int) -> bytes:
    time = logged_at.astimezone(UTC).isoformat()
    return f'{{"v":1,"org":{org},"kind":"{kind}","target":{target},"logged_at":"{time}","n":{n},"rows":['.encode()


def _parts(rows: Sequence[msgspec.Raw], per_message: int) -> Iterator[list[bytes]]:
    part, size = list[bytes](), 0
    for row in map(bytes, rows):
        if part and (len(part) >= per_message or size + len(row) > LARGEST):
            yield part
            part, size = [], 0
        part.append(row)
        size += len(row) + 1
    if part:
        yield part
