"""The stored results of a monitor in pages, the newest window first."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import exists, select, tuple_
from sqlalchemy.orm import Session, aliased

from dcmon import errors
from dcmon.db.tables.org import Monitor, Result


@dataclass(frozen=True)
class ResultQuery:
    """Which results to read: of windows that end later than `start`, and at `end` or before; None: without bound.

    `all_revisions`: False for only the newest result of each version and window, of the monitor's current revision.
    `cursor`: of the page before; None for the first page.
    """

    limit: int
    start: datetime | None = None
    end: datetime | None = None
    version_id: int | None = None
    all_revisions: bool = False
    cursor: str | None = None


class ResultPage(NamedTuple):
    """Results, and the cursor of the next page; None after the last result."""

    results: list[Result]
    next_cursor: str | None


class _Position(NamedTuple):
    """The place of a result in the order of pages."""

    window_end: datetime
    result_id: int


def read(session: Session, monitor: Monitor, query: ResultQuery) -> ResultPage:
    """Return a page of a monitor's results. Raises InvalidInput for a cursor that no page has returned."""
    statement = select(Result).where(Result.monitor_id == monitor.id)
    if query.start is not None:
        statement = statement.where(Result.window_end > query.start)
    if query.end is not None:
        statement = statement.where(Result.window_end <= query.end)
    if query.version_id is not None:
        statement = statement.where(Result.version_id == query.version_id)
    if not query.all_revisions:
        newer = aliased(Result)
        has_newer = exists().where(
            newer.monitor_id == Result.monitor_id, newer.version_id == Result.version_id,
            newer.window_end == Result.window_end, newer.window_start == Result.window_start,
            newer.revision > Result.revision,
        )  # fmt: skip
        statement = statement.where(Result.monitor_revision == monitor.revision, ~has_newer)
    if query.cursor is not None:
        last = _position(query.cursor)
        statement = statement.where(tuple_(Result.window_end, Result.id) < tuple_(last.window_end, last.result_id))
    ordered = statement.order_by(Result.window_end.desc(), Result.id.desc()).limit(query.limit + 1)
    rows = list(session.scalars(ordered))
    page = rows[: query.limit]
    return ResultPage(page, _cursor(page[-1]) if len(rows) > query.limit else None)


def _cursor(result: Result) -> str:
    return f"{result.window_end.timestamp():.6f}_{result.id}"


def _position(cursor: str) -> _Position:
    seconds, _, result_id = cursor.partition("_")
    try:
        if not 0 < int(result_id) < 2**63:
            raise ValueError
        return _Position(datetime.fromtimestamp(float(seconds), UTC), int(result_id))
    except (ValueError, OverflowError, OSError) as error:
        raise errors.InvalidInput("The cursor is none that a page has returned as next_cursor.") from error
