"""Migrated schemas, and the roles of organizations that are missing."""

from typing import TYPE_CHECKING

from dcmon.output import Lines, Page, Remark, Table
from dcmon.tenancy import missing_roles as missing_roles_of
from dcmon.tenancy import provisioning

if TYPE_CHECKING:
    from sqlalchemy import Engine

MIGRATED_COLUMNS = ["lineage", "schema", "from", "to", "state"]


def migrated(engine: "Engine", *, dry_run: bool) -> Page:
    """Migrate, and list the schemas; a remark says if organizations have no role of their own."""
    steps = provisioning.migrate_all(engine, dry_run=dry_run)
    missing = missing_roles_of.read(engine)
    remarks = [] if dry_run or not missing.organizations else [missing_text(missing)]
    return Page(steps, [Table(steps, MIGRATED_COLUMNS)], remarks)


def missing_roles(engine: "Engine") -> Page:
    """Return the SQL that creates the missing roles of organizations."""
    missing = missing_roles_of.read(engine)
    rows = [{"statement": statement} for statement in missing.statements]
    text = (
        'Run this as an administrator of PostgreSQL, then type "dcmon migrate".'
        if missing.organizations
        else "Each organization has a role of its own."
    )
    return Page(rows, [Lines(missing.statements), Remark(text)])


def missing_text(missing: missing_roles_of.MissingRoles) -> str:
    """Say that the second wall is missing, and how an administrator builds it."""
    role = missing.connecting_role
    return (
        f"{missing.organizations} organizations have no role of their own in PostgreSQL, the second wall between them"
        f' (docs/security.md): role "{role}" may not create roles. An administrator can run: alter role "{role}"'
        ' createrole; (before PostgreSQL 16 rather the output of "dcmon migrate roles"). Then type "dcmon migrate".'
    )
