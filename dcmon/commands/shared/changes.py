"""What all changing commands have: a dry run with true counts, and a question before what can't be undone.

A dry run runs the command itself, in transactions that are rolled back (dcmon.db.dry_runs).
"""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.confirmation import confirm
from dcmon.data_formats import Row
from dcmon.output import Fields, Output, Page, Part

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.db.dry_runs import Effects

Command = TypeVar("Command", bound=Callable[..., None])
# What to ask before a change, from what a dry run counted and from the typed values; None: nothing.
Question = Callable[["Effects", Mapping[str, Any]], str | None]
SECRETS = frozenset({"token", "secret", "code"})  # fields whose values a dry run does not show: they would never work


def changing(command: Command) -> Command:
    """Add --dry-run to a command that changes something."""
    return _with_options(command, None)


def asking(question: Question) -> Callable[[Command], Command]:
    """Return a decorator that adds --dry-run and --yes: the command asks a question that depends on a dry run."""
    return functools.partial(_with_options, question=question)


def _with_options(command: Command, question: Question | None) -> Command:
    own = inspect.signature(command).parameters

    @functools.wraps(command)
    def run(ctx: typer.Context, dry_run: bool, **typed: Any) -> None:
        yes = typed.pop("yes") if "yes" not in own else True  # a command that asks by itself has a --yes of its own
        run_once = functools.partial(command, ctx=ctx, **typed)
        if dry_run:
            _dry_run(ctx, run_once)
        else:
            if question is not None and not yes:
                _ask(ctx, run_once, lambda effects: question(effects, typed))
            run_once()

    keyword = inspect.Parameter.KEYWORD_ONLY
    added = {"dry_run": options.DryRun, "yes": options.HiddenYes if question is None else options.Yes}
    added = {name: option for name, option in added.items() if name not in own}
    parameters = [
        *(parameter.replace(kind=keyword) for parameter in own.values()),
        *(inspect.Parameter(name, keyword, default=False, annotation=kind) for name, kind in added.items()),
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run  # type: ignore[return-value]


def _dry_run(ctx: typer.Context, run: Callable[[], None]) -> None:
    from dcmon.commands.views import effects as view

    app: App = ctx.obj
    with app.for_dry_run(DryRunOutput(app.output)) as ctx.obj:
        assert ctx.obj.effects is not None
        ctx.obj.output.effects = ctx.obj.effects
        try:
            run()
        finally:
            dry_app, ctx.obj = ctx.obj, app
        app.output.remark(view.sentence(dry_app.effects))


def _ask(ctx: typer.Context, run: Callable[[], None], question: Callable[["Effects"], str | None]) -> None:
    """Ask the question about what a dry run would change. Raises what the change would raise, or InvalidInput."""
    app: App = ctx.obj
    with app.for_dry_run(_Silent(app.output)) as ctx.obj:
        try:
            run()
        except typer.Exit:
            pass  # the command says this by itself when it runs
        finally:
            dry_app, ctx.obj = ctx.obj, app
        assert dry_app.effects is not None
        asked = question(dry_app.effects)
    if asked is not None:
        confirm(asked, yes=False)


class DryRunOutput(Output):
    """Shows that nothing was changed: in each row, and with what the dry run counted beside an object."""

    effects: "Effects"

    def __init__(self, output: Output) -> None:
        super().__init__(output.format, quiet=output.quiet, fields=output.fields, color=output.color)

    def table(self, rows: Sequence[Row], columns: Any, **more: Any) -> None:
        super().table([self._marked(row) for row in rows], columns, **more)

    def page(self, page: Page) -> None:
        from dcmon.commands.views import effects as view

        if isinstance(page.data, Mapping):
            data: Any = {**self._marked(page.data), "effects": view.data(self.effects)}
        else:
            data = [self._marked(row) for row in page.data]
        parts = [self._marked_part(part) for part in page.parts]
        super().page(Page(data, parts))  # remarks say what to do after the change

    def _marked_part(self, part: Part) -> Part:
        return Fields(self._marked(part.row), part.none) if isinstance(part, Fields) else part

    def _marked(self, row: Row) -> Row:
        return {"dry_run": True, **{key: value for key, value in row.items() if key not in SECRETS}}


class _Silent(Output):
    """Shows nothing."""

    def __init__(self, output: Output) -> None:
        super().__init__(output.format, quiet=True, fields=output.fields)

    def table(self, rows: Any, columns: Any, **more: Any) -> None:
        pass

    def page(self, page: Page) -> None:
        pass
