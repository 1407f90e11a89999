"""Attacks on an endpoint in a process of its own: raw sockets that send what they like, and who watches its memory."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from tests.helpers.serve_process import ServeProcess
from tests.helpers.waiting import PATIENCE

BLOCK = b" " * 65_536


def open_socket(served: ServeProcess) -> socket.socket:
    """Open a connection without TLS."""
    return socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE)


def head(method: str, path: str, *lines: str) -> bytes:
    """Return the head of a request, with more lines."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "host: dcmon", *lines, "", ""]).encode()


def send_all(connection: socket.socket, blocks: Iterator[bytes]) -> bytes:
    """Send blocks while the endpoint takes them, whatever it answers. Return what it answered."""
    answered = b""
    with suppress(OSError):
        for block in blocks:
            connection.sendall(block)
    with suppress(OSError):
        while received := connection.recv(65_536):
            answered += received
    return answered


def at_once(count: int, attack: Callable[[int], bytes]) -> list[bytes]:
    """Run attacks in threads, and return their results."""
    results, threads = list[bytes](), []
    for number in range(count):
        thread = threading.Thread(target=lambda n=number: results.append(attack(n)))
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()
    return results


@contextmanager
def open_sockets(served: ServeProcess, count: int, sent: bytes) -> Iterator[list[socket.socket]]:
    """Hold connections open, each of which has sent some bytes."""
    with ExitStack() as stack:
        connections = []
        for _ in range(count):
            connection = stack.enter_context(open_socket(served))
            with suppress(OSError):  # the endpoint may have closed it already
                connection.sendall(sent)
            connections.append(connection)
        yield connections


@contextmanager
def watched_memory(served: ServeProcess) -> Iterator[list[int]]:
    """Yield a list, to which the largest resident memory during the context is added at its end, in bytes."""
    peaks, peak, is_over = list[int](), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not is_over.wait(0.02):
            peak = max(peak, served.process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peaks
    finally:
        is_over.set()
        watcher.join()
        peaks.append(peak)
