"""Load the organizations of a file into schemas that "public" does not list yet: no process sees or uses them.

`publication` makes them visible, all at once. `unfinished` removes what a killed import left.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.db import Organization, migrations, sql
from dcmon.db.tables.org import Model, Version
from dcmon.file_errors import ArchiveDamaged
from dcmon.states import RowKind
from dcmon.storage import sample_tables
from dcmon.storage.sample_tables import Month
from dcmon.transfer import catalog, contents, copy_text, tables, untrusted
from dcmon.transfer.catalog import RowSum
from dcmon.transfer.contents import Manifest, OrganizationDocument, TableHead
from dcmon.transfer.file_secrets import FileSecrets, Protection
from dcmon.transfer.snapshot import TEXT_FORMAT
from dcmon.transfer.untrusted import Inactive
from dcmon.transfer.user_ids import UserIds
from dcmon.transfer.writer import Summary

STAGING = "dcmon_import"  # the schema with the rows of "public" until they become visible
OF_MODEL = ("ids", "orphan_labels")


@dataclass(frozen=True)
class Loaded:
    """An organization whose schema is loaded: its document, and itself with its new id and name."""

    document: OrganizationDocument
    organization: Organization


@dataclass
class Loader:
    """Stores what a file has. `choose` returns the id and name under which an organization is loaded; None: skip it.

    `has_shared`: the tables that all organizations share are loaded, too. `is_trusted`: what runs commands or reads
    files of this server stays active; otherwise `inactive` has its names at the end. `summary`: what was loaded.
    """

    engine: Engine
    secrets: FileSecrets
    choose: Callable[[OrganizationDocument], Organization | None]
    users: UserIds
    path: str
    has_shared: bool = False
    is_trusted: bool = True
    inactive: Inactive = field(default_factory=Inactive)
    loaded: list[Loaded] = field(default_factory=list)
    summary: Summary = field(default_factory=Summary)
    _manifest: Manifest | None = None
    _current: Loaded | None = None
    _is_at_head: bool = False

    def begin(self, manifest: Manifest) -> None:
        """Create the staging schema."""
        self._manifest = manifest
        with db.public_session(self.engine) as session:
            session.execute(text(f"create schema {STAGING}"))

    def begin_organization(self, scope: str, document: OrganizationDocument) -> None:
        """Create the organization's schema, at the revision of the file. Raises ArchiveDamaged."""
        self._require_listed(document)
        org = self.choose(document)
        self._current, self._is_at_head = None, False
        if org is None or self._manifest is None:
            return
        self.users.reserve(self.engine, [row["email"] for row in (*document.members, *document.tokens)])
        migrations.create_unlisted(self.engine, org, self._manifest.revisions["org"])
        self._current = Loaded(document, org)

    def table(self, scope: str, head: TableHead, lines: Iterator[bytes]) -> RowSum | None:
        """Load a table, in a transaction of its own. Raises ArchiveDamaged."""
        totals = self._store(scope, head, lines)
        if totals is not None:
            self.summary.add(head, totals.rows)
        return totals

    def _store(self, scope: str, head: TableHead, lines: Iterator[bytes]) -> RowSum | None:
        self._require_known(scope, head)
        if scope == contents.PUBLIC and self.has_shared:
            return self._load_staged(head.table, head, lines)
        if self._current is None:
            for _ in lines:  # to its end, so that its checksum is compared
                pass
            return None
        org = self._current.organization
        if head.table == "public_audit_log":
            return self._load_staged(f"audit_log_{org.id}", head, lines)
        if head.run_time is None:
            return self._load_fixed(org, head, lines)
        self._migrate(self._current)
        return self._load_run_time(org, head, lines)

    def _require_listed(self, document: OrganizationDocument) -> None:
        """Check the id, which is part of the name of a schema. Raises ArchiveDamaged."""
        listed = {} if self._manifest is None else self._manifest.organizations
        if type(document.id) is not int or str(document.id) not in listed:
            raise self._damaged(f"organization {str(document.id)[:40]!r} is not in its manifest")

    def _require_known(self, scope: str, head: TableHead) -> None:
        """Check that a table is one that is written to files. Raises ArchiveDamaged."""
        is_known = head.table in tables.SHARED if scope == contents.PUBLIC else head.table not in tables.NOT_EXPORTED
        has_numbers = all(type(number) is int for month in head.months for number in month)
        if not is_known or not has_numbers:
            raise self._damaged(f"table {head.table[:100]!r} does not belong into it")

    def _damaged(self, reason: str) -> ArchiveDamaged:
        return ArchiveDamaged(path=self.path, reason=reason)

    def end_organization(self, scope: str) -> None:
        """Finish the schema."""
        if self._current is not None:
            self._migrate(self._current)
            if not self.is_trusted:
                self.inactive = untrusted.make_inactive(self.engine, self._current.organization)
            self.loaded.append(self._current)
        self._current = None

    def _migrate(self, loaded: Loaded) -> None:
        """Set the sequences and migrate the schema to this dcmon's revision, once."""
        if self._is_at_head:
            return
        with loading(self.engine, loaded.organization) as session:
            catalog.set_sequences(session, loaded.document.sequences)
        migrations.finish_unlisted(self.engine, loaded.organization)
        self._is_at_head = True

    def _load_staged(self, name: str, head: TableHead, lines: Iterator[bytes]) -> RowSum:
        with db.public_session(self.engine) as session:
            source = "audit_log" if head.table == "public_audit_log" else head.table
            session.execute(TEXT_FORMAT)
            session.execute(text(f"create table {STAGING}.{name} (like public.{source})"))
            session.execute(text(f"set local search_path to {STAGING}"))
            for column in set(catalog.columns(session, name)) - set(head.columns):
                session.execute(text(f"alter table {name} drop column {sql.identifier(column)}"))
            totals = _load(session, name, head, lines, None)
        if name == "users":
            self.users.read(self.engine, f"{STAGING}.users")
        return totals

    def _load_fixed(self, org: Organization, head: TableHead, lines: Iterator[bytes]) -> RowSum:
        with loading(self.engine, org) as session:
            numbered = tables.NUMBERED.get(head.table)
            if numbered is not None:
                _alter(session, head.table, numbered, "set default nextval('public.relation_numbers')")
            totals = _load(session, head.table, head, lines, self._changes(head))
            if numbered is not None:
                _alter(session, head.table, numbered, "drop default")
            return totals

    def _changes(self, head: TableHead) -> Callable[[bytes], bytes] | None:
        changes: dict[str, Callable[[copy_text.Field], copy_text.Field]] = {
            name: self.secrets.to_database(kind) for name, kind in tables.SECRETS.get(head.table, {}).items()
        }
        if self.secrets.protection is Protection.LEFT_OUT:
            inactive = tables.WITHOUT_SECRETS.get(head.table, {})
            changes |= {name: copy_text.always(value.encode()) for name, value in inactive.items()}
        if (name := tables.USER_IDS.get(head.table)) is not None:
            changes[name] = lambda email: str(self.users.id_of((email or b"").decode())).encode()
        return copy_text.change_fields(head.columns, changes) if changes else None

    def _load_run_time(self, org: Organization, head: TableHead, lines: Iterator[bytes]) -> RowSum:
        with db.org_session(self.engine, org) as session:
            relation = _create_table(session, head)
        if head.months:
            months = [Month(*month) for month in head.months]
            sample_tables.create_partitions(self.engine, org, RowKind(str(head.run_time)), relation, months)
        with db.org_session(self.engine, org) as session:
            session.execute(TEXT_FORMAT)
            return _load(session, f"{head.run_time}_{relation}", head, lines, None)


def _create_table(session: Session, head: TableHead) -> int:
    """Create the tables of a model or version with the first of them in the file. Return the number in their names."""
    if head.run_time in OF_MODEL:
        model = session.get_one(Model, head.object_id)
        if head.run_time == OF_MODEL[0]:
            sample_tables.create_model_tables(session, model)
        return model.relation
    version = session.get_one(Version, head.object_id)
    if head.run_time == RowKind.SAMPLES:
        sample_tables.create_version_tables(session, session.get_one(Model, version.model_id), version)
    return version.relation


@contextmanager
def loading(engine: Engine, org: Organization) -> Iterator[Session]:
    """Open a transaction as the role of an organization whose schema may have an older revision."""
    statement = "select set_config('search_path', :schema, true), set_config('role', pg_get_userbyid(nspowner), true)"
    with Session(engine) as session, session.begin():
        session.execute(text(f"{statement} from pg_namespace where nspname = :schema"), {"schema": org.schema})
        session.execute(TEXT_FORMAT)
        yield session


def _load(
    session: Session,
    table: str,
    head: TableHead,
    lines: Iterator[bytes],
    change: Callable[[bytes], bytes] | None,
) -> RowSum:
    statement = f"copy {sql.identifier(table)} ({catalog.joined(head.columns)}) from stdin"
    with db.copy(session, statement) as copying:
        for part in lines:
            copying.write(part if change is None else change(part))
    return catalog.sum_rows(session, table, head.checked)


def _alter(session: Session, table: str, column: str, change: str) -> None:
    session.execute(text(f"alter table {table} alter column {column} {change}"))


def columns_in(session: Session, table: str, row: Mapping[str, Any], left_out: Sequence[str]) -> list[str]:
    """Return the columns of a table that a row of a file has, but for some."""
    return [name for name in catalog.columns(session, table) if name in row and name not in left_out]
