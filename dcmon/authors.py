"""Authors: who makes the changes of a transaction. Each transaction tells PostgreSQL, for the log of changes.

The author of a process is set once, by the command line or by a worker; a request or a job sets another one for its
own thread or task. db.session hands it to PostgreSQL when a transaction enters a schema.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass

DCMON = "dcmon"  # the author of what a job changes


@dataclass(frozen=True)
class Author:
    """Who makes changes, and how.

    `name`: the e-mail of a user, the name of the operating system's user, or "dcmon". `via`: "http", "cli" or
    "job NAME". `address`: of the client; the name of the host where dcmon is not called over HTTP. `token`: the prefix
    of the token. `request_id`: as in the endpoint's log.
    """

    name: str
    via: str
    address: str | None = None
    token: str | None = None
    request_id: str | None = None


class _Process:
    """The author of this process; None: PostgreSQL records its own user."""

    author: Author | None = None


_of_context: ContextVar[Author | None] = ContextVar("author", default=None)


def on_this_host(name: str, via: str) -> Author:
    """Return an author on this host."""
    import socket  # here, so that --help stays light

    return Author(name, via, socket.gethostname())


def operator_name() -> str:
    """Return the name of the operating system's user, for the ledger and for histories."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        return "unknown"


def set_for_process(author: Author | None) -> None:
    """Set the author of all transactions of this process, in each thread that has no other."""
    _Process.author = author


def set_for_request(author: Author) -> None:
    """Set the author for the rest of this task, and for the threads that work for it."""
    _of_context.set(author)


@contextmanager
def acting(author: Author) -> Iterator[None]:
    """Set the author for a block, in this thread or task."""
    token = _of_context.set(author)
    try:
        yield
    finally:
        _of_context.reset(token)


def current() -> Author | None:
    """Return the author of what this thread or task does; None: none is set."""
    return _of_context.get() or _Process.author


def encoded() -> str:
    """Return the current author as PostgreSQL gets it: JSON, or "" if no author is set."""
    author = current()
    if author is None:
        return ""
    return json.dumps({name: value for name, value in asdict(author).items() if value is not None})
