"""Export what an organization has, and plan and apply what files declare."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from dcmon import complete_files, errors, file_errors
from dcmon.alerting.change_context import Actor
from dcmon.commands.operations.receiver import notify_of_problems
from dcmon.commands.shared.arguments import operator_name
from dcmon.commands.shared.dry_run_output import would
from dcmon.commands.views import declaration_plan as view
from dcmon.db import work_queue
from dcmon.declarations import applying, exporting, file_reader, planner, secret_text, state
from dcmon.declarations.applying import Applied
from dcmon.declarations.applying_context import Context, Effects
from dcmon.declarations.changes import Action, Noun
from dcmon.declarations.planner import TriedPlan, Wanted
from dcmon.declarations.state import Scope
from dcmon.notifications import receivers
from dcmon.output import Document, Page
from dcmon.storage import models
from dcmon.tenancy import members

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.db import Organization


@dataclass(frozen=True)
class TypedPlan:
    """What to plan: files, or a stored plan; None: not given. `out`: where the plan is stored, also in place
    of a file if `is_replaced`.
    """

    paths: Sequence[str] | None
    prunes: bool = False
    out: Path | None = None
    stored: Path | None = None
    is_replaced: bool = False


class PlanPage(NamedTuple):
    """What to show of a plan, and whether it has changes."""

    page: Page
    has_changes: bool


def export(app: "App", names: Sequence[str]) -> Page:
    """Return models as a file; without names, the organization. Raises ModelNotFound or Conflict."""
    org, now = app.organization(), datetime.now(UTC)
    with app.public() as session:
        settings = None if names else state.read_settings(session, org)
    with app.org(org, snapshot=True) as session:
        for name in names:
            models.find(session, name)
        current = state.read(session, Scope(names or None, not names), settings, now)
        data = dict(exporting.to_data(current))
    return Page(data, [Document(exporting.to_text(data))], names=[*data.get("models", {})])


def plan(app: "App", typed: TypedPlan) -> PlanPage:
    """Plan what files declare, and try it in a transaction that is rolled back; store the plan if `out` is given.

    Raises InvalidFiles, NotFound, FileRefused, FileUnwritable, InvalidInput or Conflict.
    """
    org = app.organization()
    if typed.out is not None:
        file_errors.require_free(typed.out, is_replaced=typed.is_replaced)
    wanted = _read(typed)
    tried = _attempt(app, org, wanted)
    would(app.output, *view.phrases(tried))
    if typed.out is not None:
        _write(typed.out, planner.store(org.name, wanted, tried.plan))
    return PlanPage(view.page(org, tried), bool(tried.plan.changes))


def apply(app: "App", typed: TypedPlan, confirm: Callable[[str], None], *, is_dry_run: bool) -> PlanPage:
    """Show the plan, ask, and apply it in one transaction if the organization is still as planned.

    Raises as `plan`.
    """
    if typed.stored is not None and (typed.paths or typed.prunes):
        raise errors.InvalidInput("A stored plan has its files and what it removes: leave out --file and --prune.")
    if is_dry_run and typed.stored is None:
        return plan(app, typed)
    org, wanted, fingerprint = _wanted(app, typed)
    tried = _attempt(app, org, wanted)
    if fingerprint is not None and tried.plan.fingerprint != fingerprint:
        raise errors.Conflict(
            "The organization was changed after this plan was stored, so nothing was applied. Plan again."
        )
    if is_dry_run or not tried.plan.changes:
        would(app.output, *view.phrases(tried))
        return PlanPage(view.page(org, tried), is_dry_run and bool(tried.plan.changes))
    applying.require_secrets(tried.plan)
    app.output.remark("\n".join(view.lines(tried)))
    confirm(view.question(org, tried))
    with _transactions(app, org) as context:
        applied = _with_problems(app, context, planner.apply(context, wanted, tried.plan.fingerprint))
    app.enqueue(org, work_queue.Work.evaluate, work_queue.Work.notify)
    return PlanPage(view.applied_page(org, TriedPlan(tried.plan, applied)), False)


def _attempt(app: "App", org: "Organization", wanted: Wanted) -> TriedPlan:
    with _transactions(app, org) as context:
        tried = planner.attempt(context, planner.make(context, wanted))
        tried = replace(tried, applied=_with_problems(app, context, tried.applied))
        context.session.rollback()
        context.public.rollback()
    return tried


def _with_problems(app: "App", context: Context, applied: Sequence[Applied]) -> Sequence[Applied]:
    """Notify new receivers, and those that want others, of dcmon's problems; return the changes with all effects."""
    return [replace(entry, effects=_effects(app, context, entry)) for entry in applied]


def _effects(app: "App", context: Context, entry: Applied) -> Effects:
    """Return the effects of a change, with the notifications of dcmon's problems."""
    change = entry.change
    wants_others = change.action is Action.CREATE or change.has("severities", "models")
    if change.noun is not Noun.RECEIVER or change.action is Action.DELETE or not wants_others or not entry.is_tried:
        return entry.effects
    stored = receivers.find(context.session, change.name)
    count = notify_of_problems(app, context.session, context.public, context.org, stored)
    return {**entry.effects, "notifications": entry.effects.get("notifications", 0) + count}


@contextmanager
def _transactions(app: "App", org: "Organization") -> Iterator[Context]:
    """Open a transaction of the organization inside one of "public", so that it is committed first."""
    with app.public() as public, app.org(org) as session:
        administrators = members.administrators(public, org.id)
        actor = Actor.from_settings(org, operator_name(), app.settings)
        yield Context(session, public, org, actor, app.settings.webhooks, datetime.now(UTC), administrators)


def _wanted(app: "App", typed: TypedPlan) -> "tuple[Organization, Wanted, str | None]":
    """Return the organization, what is declared, and the fingerprint of a stored plan."""
    secret_text.keep_private(app.settings.data_dir)
    if typed.stored is None:
        return app.organization(), _read(typed), None
    stored = planner.load(_content(typed.stored), str(typed.stored))
    org = app.organization(stored.organization)
    if app.typed_org not in (None, stored.organization):
        raise errors.InvalidInput(f"The plan is one of organization {stored.organization!r}, not of {app.typed_org!r}.")
    return org, Wanted.of_files(stored.files, secret_text.environment(), prunes=stored.prunes), stored.fingerprint


def _read(typed: TypedPlan) -> Wanted:
    if not typed.paths:
        raise typer.BadParameter("Name a file, a directory, or - for stdin.", param_hint="--file")
    files = file_reader.read(file_reader.sources(typed.paths))
    return Wanted.of_files(files, secret_text.environment(), prunes=typed.prunes)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise file_errors.unreadable(path, error) from error


def _write(path: Path, text: str) -> None:
    try:
        complete_files.write_text(path, text)
    except OSError as error:
        raise file_errors.FileUnwritable(path=path, reason=error.strerror or str(error)) from error
