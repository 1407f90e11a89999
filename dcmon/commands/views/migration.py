"""Migrated schemas, and the roles of organizations that are missing."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dcmon.formatting import some_of
from dcmon.output import Copied, Lines, Page, Remark, Table
from dcmon.tenancy import missing_roles as missing_roles_of
from dcmon.tenancy import schema_migration
from dcmon.tenancy.schema_migration import BAD_STATES

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from dcmon.db.migrations import SchemaState
    from dcmon.tenancy.schema_migration import PendingSql, Step

COLUMNS = ["lineage", "org", "schema", "from", "to", "state", "detail"]
STATE_COLUMNS = {"lineage": "", "org": "", "schema": "", "at": "revision", "head": "newest revision", "state": ""}
MOST_ROWS = 20  # of more schemas, those that are in the same state are one row
ONE_LINE_PER_STATE = "Schemas in the same state are one line here; -o csv lists each."


def states(schemas: "Sequence[SchemaState]") -> Page:
    """List the revision of each schema; of many, those in the same state are one row."""
    rows = [
        {"lineage": schema.lineage, "org": schema.org, "schema": schema.schema, "at": schema.current,
         "head": schema.head, "state": schema.state}
        for schema in schemas
    ]  # fmt: skip
    shown = _grouped(rows, ("org", "schema"))
    remarks = [ONE_LINE_PER_STATE] if len(shown) < len(rows) else []
    return Page(rows, [Table(shown, STATE_COLUMNS)], remarks, _names(rows))


def migrated(engine: "Engine", steps: "Sequence[Step]", *, dry_run: bool) -> Page:
    """List the schemas; remarks say what is not current, and if organizations have no role of their own."""
    rows, bad = [step.row() for step in steps], [step for step in steps if step.state in BAD_STATES]
    has_detail = any(step.detail for step in steps)
    missing = missing_roles_of.read(engine)
    remarks = [] if dry_run or not missing.organizations else [missing_text(missing)]
    if bad:
        remarks.insert(0, _not_current(bad, len(rows)))
    shown = _grouped(rows, ("org", "schema"))
    if len(shown) < len(rows):
        remarks.append(ONE_LINE_PER_STATE)
    return Page(rows, [Table(shown, COLUMNS if has_detail else COLUMNS[:-1])], remarks, _names(rows))


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the organizations, for -o name; "public" is none."""
    return [row["org"] for row in rows if row["org"] is not None]


def _grouped(rows: Sequence[Mapping[str, Any]], naming: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    """Return the rows as they are, or if they are many, one row for those that only differ in the naming columns."""
    if len(rows) <= MOST_ROWS:
        return rows
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(value for key, value in row.items() if key not in naming), []).append(row)
    return [
        {**group[0], **{key: some_of([row[key] for row in group]) for key in naming if len(group) > 1}}
        for group in groups.values()
    ]


def _not_current(bad: "Sequence[Step]", number: int) -> str:
    verb, reasons = "is" if len(bad) == 1 else "are", "; ".join(f"{step.org}: {step.detail}" for step in bad[:5])
    return f"{len(bad)} of {number} schemas {verb} not current ({reasons}). The others are."


def sql(pending: "Sequence[PendingSql]") -> Page:
    """Show the SQL of pending revisions, with the schemas that it is for as comments."""
    lines = list[str]()
    for part in pending:
        listed = ", ".join(part.schemas[:20]) + (" …" if len(part.schemas) > 20 else "")
        begin = "no revision" if part.before is None else f"revision {part.before}"
        lines += [f"-- Lineage {part.lineage}, from {begin} to {part.head}; {len(part.schemas)} schemas: {listed}"]
        lines += [f"-- Each of them: set search_path to {part.schemas[0]};", *part.sql.strip().splitlines(), ""]
    remark = (
        "Nothing to migrate." if not pending else 'Only for review: "dcmon migrate" also creates triggers and roles.'
    )
    return Page(
        [asdict(part) for part in pending], [Lines([Copied(line) for line in lines])] if lines else [], [remark]
    )


def missing_roles(engine: "Engine", only: str | None) -> Page:
    """Return the SQL that creates the missing roles of organizations, or of one. Raises OrganizationNotFound."""
    chosen = None if only is None else {org.id for org in schema_migration.chosen(engine, only)}
    missing = missing_roles_of.read(engine, chosen)
    rows = [{"statement": statement} for statement in missing.statements]
    text = (
        'Run this as an administrator of PostgreSQL, then type "dcmon migrate".'
        if missing.organizations
        else "Each organization has a role of its own."
    )
    return Page(rows, [Lines([Copied(statement) for statement in missing.statements]), Remark(text)])


def missing_text(missing: missing_roles_of.MissingRoles) -> str:
    """Say that the second wall is missing, and how an administrator builds it."""
    role = missing.connecting_role
    return (
        f"{missing.organizations} organizations have no role of their own in PostgreSQL, the second wall between them"
        f' ("dcmon docs security"): role "{role}" may not create roles. An administrator can run: alter role "{role}"'
        ' createrole; (before PostgreSQL 16 rather the output of "dcmon migrate roles"). Then type "dcmon migrate".'
    )
