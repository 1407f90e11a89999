"""Send notifications again that were given up or still wait, when an operator asks for it."""

import uuid
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

_SUPERSEDE_OUTDATED = """
    update notifications old set is_superseded = true
     where {selected} and old.dead_at is not null and not old.is_superseded
       and exists (select 1 from notifications newer
                    where newer.alert_id = old.alert_id and newer.webhook_id = old.webhook_id
                      and newer.position > old.position and not newer.is_superseded)
"""
_MAKE_DUE = """
    update notifications set dead_at = null, due_at = now(), attempts = 0, tried_at = null
     where {selected} and delivered_at is null and not is_superseded and (lease_until is null or lease_until < now())
"""


def retry(session: Session, ids: Sequence[uuid.UUID] | None = None) -> dict[str, int]:
    """Make notifications due now; return how many, as a row for an output.

    All their attempts begin again. `ids`: None stands for all dead notifications. A notification that was given up, and
    whose alert has a newer one for the same receiver, is superseded and not sent: the receiver has newer information. A
    notification in flight does not change, because a worker may be sending it.
    """
    selected = "dead_at is not null and not is_superseded" if ids is None else "id = any(:ids)"
    values = {} if ids is None else {"ids": list(ids)}
    superseded = session.execute(text(_SUPERSEDE_OUTDATED.format(selected=selected)), values)
    retried = session.execute(text(_MAKE_DUE.format(selected=selected)), values)
    return {"retried": retried.rowcount, "superseded": superseded.rowcount}  # type: ignore[attr-defined]
