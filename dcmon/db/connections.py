"""Connect to PostgreSQL, and translate connection and disk errors into dcmon's own errors."""

import errno
import json
import os
import re
import sys
from collections.abc import Mapping
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import msgspec
import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from dcmon import errors
from dcmon.db import object_limits

CONNECT_SECONDS = 5
# pg_stat_activity shows it: an operator, and `dcmon doctor`, find processes of another release.
APPLICATION_NAME = f"dcmon {version('dcmon')} (Python {sys.version_info.major}.{sys.version_info.minor})"
CONNECTION = {
    "prepare_threshold": None,
    "connect_timeout": CONNECT_SECONDS,
    "application_name": APPLICATION_NAME,
    "client_encoding": "utf8",  # also where PGCLIENTENCODING differs: rows are read as bytes, too (storage.packing)
    # A server that disappears silently is noticed after 25 seconds; the operating system's default is two hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
CONNECTION_ERRORS = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)
LARGEST_ID = 2**31 - 1
# Schemas that a connection works in before another one replaces it: PostgreSQL keeps 0.3 to 0.7 MB of each as long as
# the connection lasts, 1.5 GB after a prune of 2,000.
SCHEMAS, MOST_SCHEMAS = "schemas", 1_000
MORE_CONNECTIONS = 20  # than the pool keeps, while they are needed
POOL_SECONDS = 5.0  # the longest wait for a connection: then a request gets 503, and does not keep its thread
_UNSTORABLE = re.compile("[\0\ud800-\udfff]|\\\\u(?:0000|d[89a-f])", re.IGNORECASE)  # also as JSON writes them


def engine(url: str, *, pool_size: int = 5, lock_wait: timedelta | None = None) -> Engine:
    """Return an engine on psycopg 3.

    Statements are not prepared, because a table's name means another table in each schema. Any use of the engine may
    raise Unreachable, DatabaseRefused or DiskFull. `lock_wait`: how long a statement may wait for a lock; then
    PostgreSQL refuses it.
    """
    parsed = _psycopg(url)
    result = create_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=MORE_CONNECTIONS,
        pool_timeout=POOL_SECONDS,
        pool_recycle=1800,
        pool_use_lifo=True,  # the connection used last has the most tables in its cache
        pool_pre_ping=True,
        connect_args={name: value for name, value in CONNECTION.items() if name not in parsed.query},
        json_deserializer=_decoded_json,
        hide_parameters=True,  # a log must not have values of rows
    )
    event.listen(result, "handle_error", _translate)
    event.listen(result, "checkin", _replace_if_full)
    if lock_wait is not None:
        limit = f"set local lock_timeout = '{max(1, int(lock_wait.total_seconds() * 1000))}ms'"
        event.listen(result, "begin", lambda connection: connection.exec_driver_sql(limit))
    return result


def _replace_if_full(_: Any, record: ConnectionPoolEntry) -> None:
    """Let the pool close a connection that has worked in many schemas, when it is needed next."""
    if len(record.info.get(SCHEMAS, ())) > MOST_SCHEMAS:
        record.invalidate(soft=True)


def _decoded_json(encoded: bytes) -> Any:
    """Decode JSON: with msgspec, in a fifth of the time of the standard library, which also knows infinite numbers."""
    try:
        return msgspec.json.decode(encoded)
    except msgspec.DecodeError:
        return json.loads(encoded)


def _psycopg(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        message = "DCMON_DATABASE_URL is not a URL. It looks like postgresql://user:password@host:5432/database"
        raise errors.InvalidInput(message) from error
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise errors.InvalidInput(f"DCMON_DATABASE_URL names {parsed.get_backend_name()}; dcmon needs postgresql://")
    return parsed.set(drivername="postgresql+psycopg")


def _translate(context: ExceptionContext) -> errors.DcmonError | None:
    """Translate an error of psycopg into one of dcmon; None leaves it as it is.

    This covers connections, a full disk, ids that are too large for their column, and texts that can't be stored.
    """
    original, url = context.original_exception, context.engine.url if context.engine else None
    if isinstance(original, psycopg.Error) and original.sqlstate == object_limits.OVER_LIMIT:
        return object_limits.to_error(original)
    if isinstance(original, psycopg.Error):
        remove_values(original)
        if isinstance(context.sqlalchemy_exception, DBAPIError):
            kind = type(original)
            context.sqlalchemy_exception.args = (f"({kind.__module__}.{kind.__qualname__}) {original}",)
    if isinstance(original, psycopg.errors.NumericValueOutOfRange) and (number := _too_large_id(context)) is not None:
        return errors.NotFound(what="id", name=number)
    if unstorable := _unstorable_text(context):
        return unstorable
    if not isinstance(original, CONNECTION_ERRORS) or url is None:
        return None
    if isinstance(original, psycopg.errors.ReadOnlySqlTransaction):
        context.is_disconnect = True  # for example after a failover: open connections lead to a standby
    return to_dcmon_error(original, url, context.is_disconnect)


def remove_values(error: psycopg.Error) -> None:
    """Shorten the message of an error to its first line: the others (DETAIL, CONTEXT) quote values of rows."""
    if error.diag.message_primary:
        error.args = (error.diag.message_primary,)


def _too_large_id(context: ExceptionContext) -> int | None:
    """Return a parameter of a SELECT that is larger than any id, or None.

    No row can have such an id, so the object is not found.
    """
    is_select = (context.statement or "").lstrip().lower().startswith("select")
    values = context.parameters.values() if is_select and isinstance(context.parameters, Mapping) else ()
    return next((value for value in values if isinstance(value, int) and not -LARGEST_ID <= value <= LARGEST_ID), None)


def _unstorable_text(context: ExceptionContext) -> errors.UnstorableText | None:
    """Return the error for a parameter with NUL in it, or with half of a surrogate pair; None for other errors."""
    original = context.original_exception
    if isinstance(original, UnicodeEncodeError):
        return errors.UnstorableText.of(original.object)
    is_json = isinstance(original, psycopg.errors.UntranslatableCharacter | psycopg.errors.InvalidTextRepresentation)
    if not (is_json and "json" in str(original)) and "NUL (0x00)" not in str(original):
        return None
    values = context.parameters.values() if isinstance(context.parameters, Mapping) else ()
    texts = [str(getattr(value, "obj", value)) for value in values]  # JSON is wrapped
    return errors.UnstorableText.of(next((text for text in texts if _UNSTORABLE.search(text)), "\0"))


def to_dcmon_error(original: psycopg.Error, url: URL, is_disconnect: bool) -> errors.DcmonError | None:
    """Translate an error of the connection or of the disk; return None for other errors."""
    where, message = address(url), first_line(original)
    if isinstance(original, psycopg.errors.DiskFull):
        return errors.DiskFull(where=where)
    if re.search(
        r"password authentication failed|role .* does not exist|no password supplied|no pg_hba", str(original)
    ):
        return errors.DatabaseRefused(where=where, user=url.username or "")
    if isinstance(original, psycopg.errors.OutOfMemory):
        return errors.OutOfMemory(where=where, reason=message)
    if original.sqlstate is None and os.strerror(errno.ENOSPC) in str(original):  # said while a connection is opened
        return errors.NoRoomToConnect(where=where)
    if is_disconnect or _is_unavailable(original.sqlstate):
        return errors.Unreachable(what="PostgreSQL", where=where, reason=message)
    return None


def address(url: URL) -> str:
    """Return host, port and database for messages, without user and password."""
    return f"{url.host or 'the local socket'}:{url.port or 5432}/{url.database or ''}"


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the name of its class."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _is_unavailable(state: str | None) -> bool:
    """Return True if the SQLSTATE means that the server is unavailable."""
    # 57P is a shutdown of the server, while 57014 is only a canceled statement, for example after a statement_timeout.
    return state is None or state.startswith(("08", "3D", "53", "57P"))


def sqlstate(error: DBAPIError) -> str | None:
    """Return PostgreSQL's code of an error, for example 40P01 for a deadlock."""
    return getattr(error.orig, "sqlstate", None)
