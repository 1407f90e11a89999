"""Make loaded organizations visible: insert their rows in "public", all in one transaction."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.db import work_queue
from dcmon.db.work_queue import Work
from dcmon.tenancy import organizations
from dcmon.transfer import catalog, leftovers
from dcmon.transfer.contents import Manifest
from dcmon.transfer.loader import STAGING, Loaded, columns_in
from dcmon.transfer.snapshot import TEXT_FORMAT
from dcmon.transfer.user_ids import UserIds


def publish(engine: Engine, loaded: Sequence[Loaded], users: UserIds, backup: Manifest | None = None) -> int:
    """Insert the rows of organizations. Return how many tokens exist in other organizations already, and were left out.

    `backup`: of a complete backup, of which the rows that all organizations share, and all ids, are inserted, too.
    Raises Conflict when a name is taken, or an organization is created, meanwhile.
    """
    with db.public_session(engine) as session:
        session.execute(TEXT_FORMAT)
        skipped = 0
        if backup is not None:
            leftovers.replace_shared(session, backup)
        names = {row["email"]: row.get("full_name") for item in loaded for row in item.document.members}
        users.insert_new(session, names)
        for item in loaded:
            organizations.require_free_name(session, item.organization.name)
            skipped += _insert(session, item, users, ("id",) if backup is None else ())
        session.execute(text(f"drop schema {STAGING} cascade"))
        for item in loaded:
            for work in Work:
                work_queue.enqueue(session, item.organization.id, work)
    return skipped


def _insert(session: Session, item: Loaded, users: UserIds, left_out: Sequence[str]) -> int:
    org, document = item.organization, item.document
    own: dict[str, Any] = {"id": org.id, "name": org.name, "schema_name": org.schema}
    _insert_row(session, "organizations", {**document.row, **own}, ())
    for member in document.members:
        values = {**member, "org_id": org.id, "user_id": users.id_of(member["email"])}
        _insert_row(session, "members", values, ())
    inserted = 0
    for token in document.tokens:
        values = {**token, "org_id": org.id, "user_id": users.id_of(token["email"])}
        inserted += _insert_row(session, "tokens", values, left_out, " on conflict (prefix) do nothing")
    for invitation in document.invitations:
        _insert_row(session, "invitations", {**invitation, "org_id": org.id}, left_out, " on conflict do nothing")
    _insert_log(session, org.id)
    session.execute(text(f"comment on schema {org.schema} is null"))
    return len(document.tokens) - inserted


def _insert_row(
    session: Session, table: str, row: Mapping[str, Any], left_out: Sequence[str], conflict: str = ""
) -> int:
    """Insert a row that is JSON; PostgreSQL converts its values. Return 1 if it was inserted."""
    names = columns_in(session, table, row, left_out)
    listed, values = catalog.joined(names), {"row": json.dumps(row, ensure_ascii=False)}
    source = f"json_populate_record(null::public.{table}, cast(:row as json))".replace("::", r"\:\:")
    insert = f"insert into {table} ({listed}) select {listed} from {source}{conflict}"
    return int(session.execute(text(insert), values).rowcount)  # type: ignore[attr-defined]


def _insert_log(session: Session, org_id: int) -> None:
    """Insert the organization's entries of the log of changes under its new id."""
    table = f"{STAGING}.audit_log_{org_id}"
    if session.scalar(text("select to_regclass(:table)"), {"table": table}) is None:
        return
    listed = catalog.joined(catalog.columns(session, table))
    session.execute(text(f"insert into audit_log (org_id, {listed}) select :id, {listed} from {table}"), {"id": org_id})
