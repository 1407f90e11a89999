"""Migrate schemas, or show the SQL that would do it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcmon.commands.shared.dry_run_output import would
from dcmon.commands.views import migration as view
from dcmon.formatting import count_of
from dcmon.output import Page
from dcmon.tenancy import schema_migration

if TYPE_CHECKING:
    from dcmon.app import App


@dataclass(frozen=True)
class Choices:
    """How to migrate. `is_sql`: only return the SQL."""

    parallel: int
    dry_run: bool
    is_sql: bool


@dataclass(frozen=True)
class Outcome:
    """What to show. `is_partly_done`: some schemas are not current."""

    page: Page
    is_partly_done: bool = False


def run(app: "App", choices: Choices) -> Outcome:
    """Migrate all schemas, or "public" and that of --org. Raises SchemaTooNew or OrganizationNotFound."""
    if choices.is_sql:
        return Outcome(view.sql(schema_migration.pending_sql(app.engine, only=app.typed_org)))
    with app.output.progress("organizations", counts=True) as advance:
        steps = schema_migration.migrate(
            app.engine, only=app.typed_org, dry_run=choices.dry_run, parallel=choices.parallel, show=advance
        )
    pending = sum(step.state is schema_migration.StepState.TO_MIGRATE for step in steps)
    would(app.output, f"migrate {count_of(pending, 'schema')}" if pending else "")
    is_partly_done = any(step.state in schema_migration.BAD_STATES for step in steps)
    return Outcome(view.migrated(app.engine, steps, dry_run=choices.dry_run), is_partly_done)
