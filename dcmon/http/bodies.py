"""Reading of request bodies: a bound for each body, and a budget for all bodies of the process together."""

import io
import threading
import zlib
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from dcmon import errors

SMALL_BYTES = 1_000_000  # bodies up to this size find room while large bodies fill their share of the budget
LARGE_SHARE = 0.8
DECOMPRESSED_CHUNK_BYTES = 1_000_000


class BodyBudget:
    """The bytes of all bodies that this process holds: those that are being read, and those of running requests."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.held_bytes = max_bytes, 0
        self._lock = threading.Lock()

    def take(self, byte_count: int, *, is_large: bool) -> None:
        """Take bytes. Raises BodiesFull if too few are left."""
        bound = self.max_bytes * LARGE_SHARE if is_large else self.max_bytes
        with self._lock:
            if self.held_bytes + byte_count > bound:
                raise errors.BodiesFull(largest=self.max_bytes, retry_after=5)
            self.held_bytes += byte_count

    def give_back(self, byte_count: int) -> None:
        """Give bytes back at the end of a request."""
        with self._lock:
            self.held_bytes -= byte_count


class HeldBody:
    """The part of the budget that one request holds. Release it when the request is done."""

    def __init__(self, budget: BodyBudget) -> None:
        self._budget, self.held_bytes = budget, 0

    def take(self, byte_count: int) -> None:
        """Take more bytes for this request. Raises BodiesFull."""
        self._budget.take(byte_count, is_large=self.held_bytes + byte_count > SMALL_BYTES)
        self.held_bytes += byte_count

    def give_back(self, byte_count: int) -> None:
        """Give a part back."""
        self.held_bytes -= byte_count
        self._budget.give_back(byte_count)

    def release(self) -> None:
        """Give all bytes of this request back."""
        self.give_back(self.held_bytes)


def reads_rows(dependency: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a dependency that reads the body itself, up to DCMON_HTTP__MAX_BODY_BYTES."""
    dependency.reads_rows = True  # type: ignore[attr-defined]
    return dependency


def require_length(request: Request, max_bytes: int, too_large: type[errors.TooLarge] = errors.TooLarge) -> None:
    """Raise TooLarge if Content-Length is larger than a bound. The body is not read for it."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise too_large(largest=max_bytes)


async def read_bounded(
    request: Request, max_bytes: int, too_large: type[errors.TooLarge] = errors.TooLarge
) -> AsyncGenerator[bytes, None]:
    """Yield the body in the chunks that arrive.

    Raises TooLarge, before reading if Content-Length is too large; BodiesFull.
    """
    require_length(request, max_bytes, too_large)
    held: HeldBody = request.state.held_body
    byte_count = 0
    async for chunk in request.stream():
        byte_count += len(chunk)
        if byte_count > max_bytes:
            raise too_large(largest=max_bytes)
        held.take(len(chunk))
        yield chunk


async def read_all(request: Request, max_bytes: int, too_large: type[errors.TooLarge] = errors.TooLarge) -> bytes:
    """Return the body, decompressed. Raises TooLarge, BodiesFull or InvalidInput."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("gzip", "identity"):
        raise errors.InvalidInput(
            f"Content-Encoding {encoding!r} is not supported: send the body uncompressed or with gzip."
        )
    body = await join(read_bounded(request, max_bytes, too_large))
    if encoding == "identity":
        return body
    # Decompressing on the event loop would let all other clients wait.
    return await run_in_threadpool(_gunzip, body, max_bytes, request.state.held_body, too_large)


async def join(chunks: AsyncIterable[bytes]) -> bytes:
    """Return the chunks of a body as one. Each is copied when it comes: all at the end would let other clients wait."""
    buffer = io.BytesIO()
    async for chunk in chunks:
        buffer.write(chunk)
    return buffer.getvalue()  # not a copy


def _gunzip(compressed: bytes, max_bytes: int, held: HeldBody, too_large: type[errors.TooLarge]) -> bytes:
    stream, parts, byte_count, unread = zlib.decompressobj(16 + zlib.MAX_WBITS), io.BytesIO(), 0, compressed
    try:
        while not stream.eof and (part := stream.decompress(unread, DECOMPRESSED_CHUNK_BYTES)):
            byte_count += len(part)
            if byte_count > max_bytes:
                raise too_large(largest=max_bytes)
            held.take(len(part))
            parts.write(part)
            unread = stream.unconsumed_tail
    except zlib.error as error:
        raise errors.InvalidInput(f"The body is not gzip: {error}.") from error
    if not stream.eof or stream.unused_data:
        raise errors.InvalidInput("The body is not one complete gzip stream.")
    held.give_back(len(compressed))
    return parts.getvalue()
