"""Engines on PostgreSQL, and its connection and disk errors as dcmon's own."""

import re
from collections.abc import Mapping

import psycopg
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from dcmon import errors

CONNECT_SECONDS = 5
CONNECTION = {
    "prepare_threshold": None,
    "connect_timeout": CONNECT_SECONDS,
    "application_name": "dcmon",
    # A server that is gone without a word is noticed after 25 seconds; the system's own default is two hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
CONNECTION_ERRORS = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)
LARGEST_ID = 2**31 - 1


def engine(url: str, *, pool_size: int = 5) -> Engine:
    """An engine on psycopg 3. Statements are not prepared: tables of one name differ from schema to schema.

    Raises Unreachable, DatabaseRefused or DiskFull from any use of it.
    """
    parsed = _psycopg(url)
    made = create_engine(
        parsed,
        pool_size=pool_size,
        max_overflow=20,
        pool_recycle=1800,
        pool_use_lifo=True,  # the connection used last knows the tables best
        pool_pre_ping=True,
        connect_args={name: value for name, value in CONNECTION.items() if name not in parsed.query},
    )
    event.listen(made, "handle_error", _translate)
    return made


def _psycopg(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        message = "DCMON_DATABASE_URL is no URL. It looks like postgresql://user:password@host:5432/database"
        raise errors.InvalidInput(message) from error
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise errors.InvalidInput(f"DCMON_DATABASE_URL names {parsed.get_backend_name()}; dcmon needs postgresql://")
    return parsed.set(drivername="postgresql+psycopg")


def _translate(context: ExceptionContext) -> errors.DcmonError | None:
    """Turn psycopg's connection and disk errors into dcmon's, and ids that can't be; the rest passes as it is."""
    original, url = context.original_exception, context.engine.url if context.engine else None
    if isinstance(original, psycopg.errors.NumericValueOutOfRange) and (beyond := _no_id(context)) is not None:
        return errors.NotFound(what="id", name=beyond)
    if not isinstance(original, CONNECTION_ERRORS) or url is None:
        return None
    if isinstance(original, psycopg.errors.ReadOnlySqlTransaction):
        context.is_disconnect = True  # a standby has taken the address, say: connections that are there lead nowhere
    return to_dcmon_error(original, url, context.is_disconnect)


def _no_id(context: ExceptionContext) -> int | None:
    """The number that is looked for and larger than any id: to look for it is no error, and there is no such row."""
    is_look = (context.statement or "").lstrip().lower().startswith("select")
    values = context.parameters.values() if is_look and isinstance(context.parameters, Mapping) else ()
    return next((each for each in values if isinstance(each, int) and not -LARGEST_ID <= each <= LARGEST_ID), None)


def to_dcmon_error(original: psycopg.Error, url: URL, is_disconnect: bool) -> errors.DcmonError | None:
    where, said = address(url), first_line(original)
    if isinstance(original, psycopg.errors.DiskFull):
        return errors.DiskFull(where=where)
    if re.search(
        r"password authentication failed|role .* does not exist|no password supplied|no pg_hba", str(original)
    ):
        return errors.DatabaseRefused(where=where, user=url.username or "")
    if isinstance(original, psycopg.errors.OutOfMemory):
        return errors.OutOfMemory(where=where, why=said)
    if is_disconnect or _is_away(original.sqlstate):
        return errors.Unreachable(what="PostgreSQL", where=where, why=said)
    return None


def address(url: URL) -> str:
    return f"{url.host or 'the local socket'}:{url.port or 5432}/{url.database or ''}"


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _is_away(state: str | None) -> bool:
    """Whether a server can't be had: it ends, say. One that statement_timeout stopped (57014) is there."""
    return state is None or state.startswith(("08", "3D", "53", "57P"))


def sqlstate(error: DBAPIError) -> str | None:
    """PostgreSQL's code of an error: 40P01 for a deadlock."""
    return getattr(error.orig, "sqlstate", None)
