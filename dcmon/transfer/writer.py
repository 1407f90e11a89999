"""Write organizations to a file, from a snapshot of the database."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dcmon import db, errors
from dcmon.db import Organization, sql
from dcmon.db.tables.org import Model, Version
from dcmon.states import RowKind
from dcmon.storage import sample_tables
from dcmon.transfer import catalog, contents, copy_text, tables
from dcmon.transfer.archive import ArchiveWriter
from dcmon.transfer.contents import Kind, Manifest, OrganizationDocument, TableEnd, TableHead
from dcmon.transfer.file_secrets import FileSecrets, Protection
from dcmon.transfer.snapshot import Snapshot

PART_BYTES = 4 * 2**20
Show = Callable[[int, int], None]


@dataclass
class Summary:
    """What was written or read. `missing`: why organizations are not in a new backup, by name; of a file that is read,
    only their names. `written`: bytes of a new file.
    """

    organizations: int = 0
    tables: int = 0
    rows: int = 0
    samples: int = 0
    missing: dict[str, str] = field(default_factory=dict)
    written: int = 0

    def add(self, head: TableHead, rows: int) -> None:
        """Count a table."""
        self.tables += 1
        self.rows += rows
        self.samples += rows if head.run_time == RowKind.SAMPLES else 0


@dataclass(frozen=True)
class Writer:
    """Writes a file of one kind."""

    archive: ArchiveWriter
    snapshot: Snapshot
    kind: Kind
    secrets: FileSecrets
    summary: Summary = field(default_factory=Summary)

    def manifest(self, organizations: Sequence[Organization], missing: Sequence[Organization] = ()) -> None:
        """Write the first part. `missing`: organizations that will not be in the file."""
        manifest = Manifest(
            self.kind,
            version("dcmon"),
            datetime.now(UTC).isoformat(timespec="seconds"),
            {lineage: db.head(lineage) for lineage in ("public", "org")},
            {str(org.id): org.name for org in organizations},
            self.secrets.document,
            {} if self._is_portable else dict(catalog.sequences(self.snapshot.public)),
            missing={str(org.id): org.name for org in missing},
        )
        self.archive.add_document(contents.MANIFEST, contents.to_document(manifest))

    def shared(self) -> None:
        """Write the tables of "public" that all organizations share."""
        for table in tables.SHARED:
            names = catalog.columns(self.snapshot.public, table)
            self._table(self.snapshot.public, contents.PUBLIC, _Source(TableHead(table, names, names), table))

    def organization(self, org: Organization) -> None:
        """Write an organization. Raises Conflict if a prune was interrupted, or the file would lack its messages."""
        public, scope = self.snapshot.public, contents.scope_of(org.id)
        if self.kind is Kind.ORGANIZATION:
            _require_nothing_parked(public, org)
        with self.snapshot.org_session(org) as session:
            document = _document(public, org, catalog.sequences(session))
            self.archive.add_document(f"{scope}/{contents.ORGANIZATION}", contents.to_document(document))
            emails = _emails(public)
            for source in self._sources(session):
                self._table(session, scope, source, self._changes(source.head, emails))
        if self.kind is Kind.ORGANIZATION:
            self._table(public, scope, _changes_of_organization(public, org))
        self.archive.add_document(f"{scope}/{contents.END}", {})
        self.summary.organizations += 1

    def _sources(self, session: Session) -> Iterator["_Source"]:
        for table in Model.metadata.sorted_tables:
            if table.name in tables.NOT_EXPORTED or (self._is_portable and tables.POSITIONS.get(table.name) == ()):
                continue
            left_out = {
                tables.NUMBERED.get(table.name),
                *(tables.POSITIONS.get(table.name, ()) if self._is_portable else ()),
            }
            names = [name for name in catalog.columns(session, table.name) if name not in left_out]
            checked = [name for name in names if name not in tables.changed_columns(table.name)]
            yield _Source(TableHead(table.name, names, checked), table.name)
        yield from _run_time_sources(session)

    @property
    def _is_portable(self) -> bool:
        return self.kind is Kind.ORGANIZATION

    def _changes(self, head: TableHead, emails: dict[bytes, bytes]) -> Callable[[bytes], bytes] | None:
        """Return what changes the lines of a table on their way to the file; None: nothing."""
        changes: dict[str, Callable[[copy_text.Field], copy_text.Field]] = {
            name: self.secrets.to_file(kind) for name, kind in tables.SECRETS.get(head.table, {}).items()
        }
        if self.secrets.protection is Protection.LEFT_OUT:
            for name, value in tables.WITHOUT_SECRETS.get(head.table, {}).items():
                changes[name] = copy_text.always(value.encode())
        if (column := tables.USER_IDS.get(head.table)) is not None:
            changes[column] = lambda user_id: emails.get(user_id or b"", b"")
        return copy_text.change_fields(head.columns, changes) if changes and head.run_time is None else None

    def _table(
        self, session: Session, scope: str, source: "_Source", change: Callable[[bytes], bytes] | None = None
    ) -> None:
        """Write a table: what it is, its rows, and their sums."""
        head, folder = source.head, f"{scope}/{source.head.table}"
        self.archive.add_document(f"{folder}/{contents.TABLE}", contents.to_document(head))
        digest, rows = hashlib.sha256(), 0
        for number, lines in enumerate(_parts(_copied(session, source)), 1):
            written = lines if change is None else change(lines)
            digest.update(written)
            rows += written.count(b"\n")
            self.archive.add(f"{folder}/{number:06d}{contents.ROWS}", written)
        totals = catalog.sum_rows(session, source.relation, head.checked, source.where)
        if totals.rows != rows:
            raise errors.DcmonError(f"{head.table} has {totals.rows} rows, but {rows} were read. Repeat the command.")
        end = TableEnd(rows, digest.hexdigest(), totals.checksum)
        self.archive.add_document(f"{folder}/{contents.END}", contents.to_document(end))
        self.summary.add(head, rows)


@dataclass(frozen=True)
class _Source:
    """A table to write: its name in the schema, and the SQL that chooses rows."""

    head: TableHead
    relation: str
    where: str = ""


def _copied(session: Session, source: _Source) -> Iterator[bytes]:
    query = f"select {catalog.joined(source.head.columns)} from {sql.identifier(source.relation)}{source.where}"
    with db.copy(session, f"copy ({query}) to stdout") as copying:
        yield from map(bytes, copying)


def _parts(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Join lines to parts of some megabytes."""
    pending, size = list[bytes](), 0
    for line in lines:
        pending.append(line)
        size += len(line)
        if size >= PART_BYTES:
            yield b"".join(pending)
            pending, size = [], 0
    if pending:
        yield b"".join(pending)


def _run_time_sources(session: Session) -> Iterator[_Source]:
    """Yield the tables of models and versions that were created at run time."""
    for model in session.scalars(select(Model).order_by(Model.id)).all():
        for kind in ("ids", "orphan_labels"):
            yield _run_time_source(session, kind, model.id, model.relation)
        versions = session.scalars(select(Version).where(Version.model_id == model.id).order_by(Version.id)).all()
        for row in versions:
            for kind in (*map(str, RowKind), "reference"):
                yield _run_time_source(session, kind, row.id, row.relation)


def _run_time_source(session: Session, kind: str, object_id: int, relation: int) -> _Source:
    name = f"{kind}_{relation}"
    columns = catalog.columns(session, name)
    is_partitioned = kind in tuple(RowKind)
    months = sample_tables.months(session, RowKind(kind), relation) if is_partitioned else []
    head = TableHead(
        f"{kind}-{object_id}", columns, columns, kind, object_id, [(month.year, month.number) for month in months]
    )
    return _Source(head, name)


def _changes_of_organization(public: Session, org: Organization) -> _Source:
    names = [name for name in catalog.columns(public, "audit_log") if name not in ("id", "org_id")]
    return _Source(TableHead("public_audit_log", names, names), "audit_log", f" where org_id = {org.id:d} ")


def _require_nothing_parked(public: Session, org: Organization) -> None:
    parked = public.scalar(text("select count(*) from parked_messages where org_id = :id"), {"id": org.id})
    if parked:
        raise errors.Conflict(
            f"{parked} messages for organization {org.name!r} are parked: their rows are not stored yet, and would not"
            ' be in the file. "dcmon status" says what they wait for.'
        )


def _emails(public: Session) -> dict[bytes, bytes]:
    rows = public.execute(text("select id, email from users"))
    return {str(user_id).encode(): email.encode() for user_id, email in rows}


def _document(public: Session, org: Organization, sequences: Any) -> OrganizationDocument:
    def rows(statement: str) -> list[dict[str, Any]]:
        return [dict(row) for row in public.scalars(text(statement), {"id": org.id})]

    of_user = "select to_jsonb(t) || jsonb_build_object('email', u.email) from {} t join users u on u.id = t.user_id"
    return OrganizationDocument(
        org.id,
        rows("select to_jsonb(o) from organizations o where id = :id")[0],
        rows(
            "select to_jsonb(m) || jsonb_build_object('email', u.email, 'full_name', u.full_name) from members m"
            " join users u on u.id = m.user_id where m.org_id = :id order by u.email"
        ),
        rows(f"{of_user.format('tokens')} where t.org_id = :id order by t.id"),
        rows("select to_jsonb(i) from invitations i where org_id = :id order by id"),
        dict(sequences),
    )
