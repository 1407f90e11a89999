"""Routes of a model's checks."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from dcmon.checks import catalogue
from dcmon.checks.kinds import DCMON
from dcmon.db.tables.org import Check
from dcmon.db.work_queue import Work
from dcmon.http.auth import Reader, Writer
from dcmon.http.fields import IdentifierKind
from dcmon.http.paging import Paged
from dcmon.http.responses import MAY_CONFLICT
from dcmon.http.routes.models import resolve
from dcmon.monitoring import lifecycle, model_checks

router = APIRouter(tags=["checks"])


class CheckConfig(BaseModel):
    """The configuration of a check, in the format of deepchecks."""

    module_name: str
    class_name: str
    params: dict[str, Any] = {}


class CheckView(BaseModel):
    """A check. library_version: of deepchecks; docs_link: null for checks of dcmon and your own."""

    config: CheckConfig
    model_id: int
    id: int
    docs_link: str | None
    name: str
    library_version: str


class CreatedCheck(BaseModel):
    """The id and the name of a new check."""

    id: int
    name: str


class CheckBody(BaseModel):
    """A check and its name. Without a name, the name of its class is used."""

    config: CheckConfig
    name: str | None = Field(None, max_length=50)


@router.post("/models/{identifier}/checks", response_model=list[CreatedCheck])
def create(
    access: Writer, identifier: str, body: CheckBody | list[CheckBody], identifier_kind: IdentifierKind | None = None
) -> list[dict[str, Any]]:
    """Add checks of the catalogue: all of them, or none."""
    bodies = body if isinstance(body, list) else [body]
    with access.session() as session:
        model = resolve(session, identifier, identifier_kind)
        created = [
            model_checks.create_check(
                session,
                model,
                check.name or check.config.class_name,
                check.config.module_name,
                check.config.class_name,
                check.config.params,
            )
            for check in bodies
        ]
        return [{"id": check.id, "name": check.name} for check in created]


@router.get("/models/{identifier}/checks", response_model=list[CheckView])
def entries(
    access: Reader, identifier: str, page: Paged, identifier_kind: IdentifierKind | None = None, own: bool = False
) -> list[dict[str, Any]]:
    """List the checks of a model; dcmon's own only with own=true.

    The SDK imports the class of each check, and deepchecks has no class of dcmon's own checks.
    """
    with access.session() as session:
        checks = model_checks.for_model(session, resolve(session, identifier, identifier_kind))
        return [describe(check) for check in page.of([check for check in checks if own or check.module_name != DCMON])]


@router.delete("/models/{identifier}/checks", responses=MAY_CONFLICT)
def delete(
    access: Writer, identifier: str, names: Annotated[list[str], Query()], identifier_kind: IdentifierKind | None = None
) -> None:
    """Delete checks by name, with their monitors: all of them, or none."""
    with access.session() as session:
        lifecycle.delete_checks(session, resolve(session, identifier, identifier_kind), names)
    access.enqueue(Work.notify)


@router.delete("/models/{identifier}/checks/{check}", responses=MAY_CONFLICT)
def delete_one(access: Writer, identifier: str, check: str, identifier_kind: IdentifierKind | None = None) -> None:
    """Delete a check with its monitors. identifier_kind=name: both the model and the check are named."""
    with access.session() as session:
        model = resolve(session, identifier, identifier_kind)
        lifecycle.delete_checks(
            session,
            model,
            [model_checks.resolve(session, model, check, is_name=identifier_kind is IdentifierKind.NAME).name],
        )
    access.enqueue(Work.notify)


def describe(check: Check) -> dict[str, Any]:
    """Return the JSON of a check."""
    return {
        "config": {
            "module_name": check.module_name,
            "class_name": check.class_name,
            "params": check.params,
        },
        "model_id": check.model_id,
        "id": check.id,
        "docs_link": catalogue.docs_link(check.module_name, check.class_name),
        "name": check.name,
        "library_version": catalogue.LIBRARY_VERSION,
    }
