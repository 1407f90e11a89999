"""The log of changes of an organization: those in its schema, and those of its row, members and tokens in "public"."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Engine, Select, and_, func, or_, select, text
from sqlalchemy.orm import Session

from dcmon import authors, db, errors
from dcmon.authors import Author
from dcmon.db import Organization
from dcmon.db.tables.org import AuditLogEntry
from dcmon.db.tables.public import AuditLogEntry as PublicEntry
from dcmon.nearest import unknown
from dcmon.tenancy import retention

PRUNED_AT_ONCE = 10_000
# What no table's Logged names: what people and dcmon do beside changes of configuration.
KINDS_OF_DCMON = frozenset({"audit log", "notification", "retention"})
# An entry's id is its number and the letter of its table. Of entries with the same time, those of "public" are older.
LETTERS: dict[Any, str] = {AuditLogEntry: "", PublicEntry: "p"}


@dataclass(frozen=True)
class EntryFilter:
    """Which entries to list; None: any. `since`, `until`: from, and before. `object`: an id or a name."""

    since: datetime | None = None
    until: datetime | None = None
    author: str | None = None
    kind: str | None = None
    object: str | None = None
    request_id: str | None = None


class Entries(NamedTuple):
    """The newest entries, the newest first. `next`: the position of the older entries; None: there are none."""

    entries: list[dict[str, Any]]
    next: str | None


class _Position(NamedTuple):
    """The place of an entry in the log: entries are sorted by time, then table, then number."""

    at: datetime
    is_public: bool
    number: int

    @classmethod
    def parse(cls, encoded: str) -> "_Position":
        time, _, entry = encoded.rpartition("~")
        try:
            position = cls(datetime.fromisoformat(time), entry.startswith("p"), int(entry.removeprefix("p")))
        except ValueError as error:
            raise errors.InvalidInput(f"{encoded!r} is no position in the log: use that of the last page.") from error
        if position.at.tzinfo is None or not 0 < position.number < 2**63:
            raise errors.InvalidInput(f"{encoded!r} is no position in the log: use that of the last page.")
        return position


def entries(
    engine: Engine, org: Organization, wanted: EntryFilter, *, limit: int = 100, before: str | None = None
) -> Entries:
    """Return the newest entries that match a filter. `before`: the position at which the last page ended.

    Raises InvalidInput for a position that no page had, or for a kind that no entry can have.
    """
    _require_kind(wanted.kind)
    position = None if before is None else _Position.parse(before)
    with db.org_session(engine, org) as session:
        rows = _rows(session, AuditLogEntry, _conditions(AuditLogEntry, wanted, position), limit)
    with db.public_session(engine) as session:
        conditions = [PublicEntry.org_id == org.id, *_conditions(PublicEntry, wanted, position)]
        rows += _rows(session, PublicEntry, conditions, limit)
    rows.sort(key=_position, reverse=True)
    page = [_describe(row) for row in rows[:limit]]
    is_last = len(rows) <= limit
    return Entries(page, None if is_last else f"{rows[limit - 1].at.isoformat()}~{page[-1]['id']}")


def entry(engine: Engine, org: Organization, entry_id: str) -> dict[str, Any]:
    """Return an entry by its id, as entries() has it: a number, of the log in "public" with a p. Raises NotFound."""
    of_public, digits = entry_id.startswith("p"), entry_id.removeprefix("p")
    row = None
    if digits.isascii() and digits.isdigit() and len(digits) < 19:
        table: Any = PublicEntry if of_public else AuditLogEntry
        conditions = [table.id == int(digits), *([PublicEntry.org_id == org.id] if of_public else [])]
        with db.public_session(engine) if of_public else db.org_session(engine, org) as session:
            row = session.scalar(select(table).where(*conditions))
    if row is None:
        raise errors.NotFound(f'There is no change {entry_id!r}. "dcmon audit-log list" lists the changes.')
    return _describe(row)


def kinds() -> frozenset[str]:
    """Return the kinds of objects that entries are about."""
    tables = [mapper.class_ for entry in LETTERS for mapper in entry.registry.mappers]
    return KINDS_OF_DCMON | {table.__logged__.kind for table in tables if table.__logged__ is not None}


def _require_kind(kind: str | None) -> None:
    if kind is not None and kind not in kinds():
        raise errors.Unprocessable(unknown("kind of object", kind, sorted(kinds())))


def record(session: Session, kind: str, action: str, after: Mapping[str, Any]) -> None:
    """Record what a person or a job did that changes no table of configuration, in the organization's transaction.

    Raises Unprocessable for a kind that kinds() lacks: no filter would find it.
    """
    _require_kind(kind)
    author = authors.current() or Author("dcmon", "sql")
    session.add(
        AuditLogEntry(
            at=func.clock_timestamp(), author=author.name, via=author.via, address=author.address, token=author.token,
            request_id=author.request_id, action=action, kind=kind, after=dict(after),
        )
    )  # fmt: skip
    session.flush()


def prune(engine: Engine, org: Organization, term: timedelta, is_over: Callable[[], bool]) -> int:
    """Delete the entries of an organization's schema that are older than a term; return how many.

    They stay for ever if the term is retention.FOR_EVER.
    """
    return _prune(lambda: db.org_session(engine, org), term, is_over)


def prune_public(engine: Engine, term: timedelta, is_over: Callable[[], bool]) -> int:
    """Delete the entries in "public", also of deleted organizations, that are older than a term; return how many."""
    return _prune(lambda: db.public_session(engine), term, is_over)


def _prune(session_: Callable[[], Any], term: timedelta, is_over: Callable[[], bool]) -> int:
    total, is_done = 0, term >= retention.FOR_EVER
    while not is_done and not is_over():
        with session_() as session:
            statement = text("select prune_audit_log(now() - cast(:term as interval), :most)")
            deleted = int(session.scalar(statement, {"term": term, "most": PRUNED_AT_ONCE}))
        total += deleted
        is_done = deleted < PRUNED_AT_ONCE
    return total


def _conditions(table: Any, wanted: EntryFilter, position: _Position | None) -> list[ColumnElement[bool]]:
    equal: Mapping[Any, str | None] = {
        table.author: wanted.author, table.kind: wanted.kind, table.request_id: wanted.request_id
    }  # fmt: skip
    conditions = [column == value for column, value in equal.items() if value is not None]
    if wanted.object is not None:
        conditions.append(or_(table.object_id == wanted.object, table.name == wanted.object))
    if wanted.since is not None:
        conditions.append(table.at >= wanted.since)
    if wanted.until is not None:
        conditions.append(table.at < wanted.until)
    if position is not None:
        conditions.append(_is_before(table, position))
    return conditions


def _is_before(table: Any, position: _Position) -> ColumnElement[bool]:
    """Entries that follow a position in the list: of an older time, or of the same time further on."""
    is_public = table is PublicEntry
    if is_public == position.is_public:
        return or_(table.at < position.at, and_(table.at == position.at, table.id < position.number))
    older: ColumnElement[bool] = table.at <= position.at if is_public else table.at < position.at
    return older


def _rows(session: Session, table: Any, conditions: list[ColumnElement[bool]], limit: int) -> list[Any]:
    statement: Select[Any] = select(table).where(*conditions).order_by(table.at.desc(), table.id.desc())
    return list(session.scalars(statement.limit(limit + 1)))


def _position(row: Any) -> tuple[datetime, bool, int]:
    return row.at, isinstance(row, AuditLogEntry), row.id


def _describe(row: Any) -> dict[str, Any]:
    return {
        "id": f"{LETTERS[type(row)]}{row.id}",
        "at": row.at,
        "author": row.author,
        "via": row.via,
        "address": row.address,
        "token": row.token,
        "request_id": row.request_id,
        "action": row.action,
        "kind": row.kind,
        "object_id": row.object_id,
        "name": row.name,
        "before": row.before,
        "after": row.after,
    }
