"""Routes of a model's checks."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel

from dcmon.checks import catalogue
from dcmon.db.tables.org import Check
from dcmon.db.work_queue import Work
from dcmon.http.auth import Asks
from dcmon.http.models import resolve
from dcmon.monitoring import lifecycle, model_checks

router = APIRouter(tags=["checks"])


class CheckConfig(BaseModel):
    """A check as deepchecks writes it."""

    module_name: str
    class_name: str
    params: dict[str, Any] = {}


class CheckBody(BaseModel):
    """A check with the name it goes by."""

    config: CheckConfig
    name: str | None = None


@router.post("/models/{identifier}/checks")
def create(
    asks: Asks, identifier: str, body: CheckBody | list[CheckBody], identifier_kind: str | None = None
) -> list[dict[str, Any]]:
    """Add checks of the catalogue: all of them, or none."""
    wanted = body if isinstance(body, list) else [body]
    with asks.session() as session:
        model = resolve(session, identifier, identifier_kind)
        made = [
            model_checks.create_check(
                session,
                model,
                each.name or each.config.class_name,
                each.config.module_name,
                each.config.class_name,
                each.config.params,
            )
            for each in wanted
        ]
        return [{"id": check.id, "name": check.name} for check in made]


@router.get("/models/{identifier}/checks")
def entries(asks: Asks, identifier: str, identifier_kind: str | None = None) -> list[dict[str, Any]]:
    """The checks of a model."""
    with asks.session() as session:
        return [
            describe(check) for check in model_checks.for_model(session, resolve(session, identifier, identifier_kind))
        ]


@router.delete("/models/{identifier}/checks")
def delete(
    asks: Asks, identifier: str, names: Annotated[list[str], Query()], identifier_kind: str | None = None
) -> None:
    """Delete checks by name, with their monitors: all of them, or none."""
    with asks.session() as session:
        lifecycle.delete_checks(session, resolve(session, identifier, identifier_kind), names)
    asks.enqueue(Work.notify)


def describe(check: Check) -> dict[str, Any]:
    """A check in an answer."""
    return {
        "config": {
            "module_name": check.module_name,
            "class_name": check.class_name,
            "params": check.params,
            "version": catalogue.library_version(),
        },
        "model_id": check.model_id,
        "id": check.id,
        "docs_link": catalogue.docs_link(check.module_name, check.class_name),
        "name": check.name,
    }
