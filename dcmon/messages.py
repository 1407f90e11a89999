"""The messages of dcmon's topics: JSON, versioned, one row or many in each.

    {"v": 1, "org": 1, "kind": "samples", "target": 7, "logged_at": "2026-11-24T10:00:00Z", "rows": [{…}, …]}

`org` is the organization's id; `kind` is "samples" or "labels"; `target` is the version's id for samples, the model's
for labels; `logged_at` is the time of receipt, which decides what is in the future and which label is the last: when it
is missing, or later than the time at which Kafka has the message, that one counts; `rows` are as the endpoint takes
them. No key is needed: order between messages does not matter. docs/ingestion.md says it for those who send.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from dcmon import elements

Kind = Literal["samples", "labels"]
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LARGEST = 900_000  # bytes of rows in a message, below the broker's default of 1 MB for a batch


class Message(msgspec.Struct, frozen=True):
    """A message as it was read; rows are still undecoded."""

    v: Literal[1]
    org: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    kind: Kind
    target: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    rows: list[msgspec.Raw]
    logged_at: datetime | None = None

    @property
    def received_at(self) -> datetime:
        """The time of receipt, which `unpack` has made sure of."""
        assert self.logged_at is not None
        return self.logged_at


_DECODER = msgspec.json.Decoder(Message)
_ROWS = re.compile(rb'"rows"\s*:\s*(?=\[)')


class Unreadable(Exception):
    """A message that is none of ours; the message says why."""


def unpack(value: bytes | None, sent_at: datetime) -> Message:
    """A message that Kafka has as sent at that time. Raises Unreadable."""
    try:
        message = _DECODER.decode(value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = _with_a_bad_row(value or b"", error)
    if message.logged_at is not None and message.logged_at.tzinfo is None:
        raise Unreadable("logged_at has no offset")
    if message.logged_at is not None and message.logged_at < EARLIEST:
        raise Unreadable("logged_at is before 1970")
    logged_at = min(message.logged_at or sent_at, sent_at)
    return message if logged_at == message.logged_at else msgspec.structs.replace(message, logged_at=logged_at)


def _with_a_bad_row(value: bytes, why: Exception) -> Message:
    """A message of which a row is no JSON, like {"age": NaN}: that row is set apart later, with its reason."""
    rows = _ROWS.search(value)
    try:
        if rows is None:
            raise why
        found, end = elements.elements(value, rows.end())
        message = _DECODER.decode(value[: rows.end()] + b"[]" + value[end:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, elements.Unbalanced) as error:
        raise Unreadable(f"not a message of version 1: {error}") from error
    return msgspec.structs.replace(message, rows=found)


def pack(
    org: int, kind: Kind, target: int, logged_at: datetime, rows: Sequence[msgspec.Raw], per_message: int
) -> list[bytes]:
    """Messages that hold all rows, in order, at most `per_message` in each. Rows are copied as they are."""
    head = _head(org, kind, target, logged_at)
    return [head + b",".join(part) + b"]}" for part in _parts(rows, per_message)]


def encode(message: Message) -> bytes:
    """A message as it can be unpacked again."""
    return _head(message.org, message.kind, message.target, message.received_at) + b",".join(message.rows) + b"]}"


def _head(org: int, kind: Kind, target: int, logged_at: datetime) -> bytes:
    time = logged_at.astimezone(UTC).isoformat()
    return f'{{"v":1,"org":{org},"kind":"{kind}","target":{target},"logged_at":"{time}","rows":['.encode()


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
