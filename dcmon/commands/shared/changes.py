"""What all changing commands have: a dry run with true counts, and a question before what can't be undone.

A dry run runs the command itself, in transactions that are rolled back (dcmon.db.dry_runs), or lets it count.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from dcmon.commands.shared import options
from dcmon.commands.shared.confirmation import confirm
from dcmon.commands.shared.dry_run_output import DryRunOutput
from dcmon.errors import PartlyDone
from dcmon.output import Output, Page

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.db.dry_runs import Effects

Command = TypeVar("Command", bound=Callable[..., None])
# What to ask before a change, from what a dry run counted and from the typed values; None: nothing.
Question = Callable[["Effects", Mapping[str, Any]], str | None]


def changing(command: Command) -> Command:
    """Add --dry-run to a command that changes something: it runs in transactions that are rolled back."""
    return _with_options(command, None)


CREATING = ("create", "copy")  # verbs


def counting(command: Command) -> Command:
    """Add --dry-run to a command that counts by itself what it would change, and notes it (dry_run_output.would).

    To run it and roll it back would take too long, or it changes something else than PostgreSQL.
    """
    return _with_options(command, None, is_rolled_back=False)


def asking(question: Question) -> Callable[[Command], Command]:
    """Return a decorator that adds --dry-run and --yes: the command asks a question that depends on a dry run."""
    return functools.partial(_with_options, question=question)


def _with_options(command: Command, question: Question | None, *, is_rolled_back: bool = True) -> Command:
    own = inspect.signature(command).parameters

    @functools.wraps(command)
    def run(ctx: typer.Context, dry_run: bool, **typed: Any) -> None:
        yes = typed.pop("yes") if "yes" not in own else True  # a command that asks by itself has a --yes of its own
        own_values = {"dry_run": dry_run} if "dry_run" in own else {}
        run_once = functools.partial(command, ctx=ctx, **own_values, **typed)
        if dry_run:
            _dry_run(ctx, run_once, is_rolled_back=is_rolled_back)
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


def _dry_run(ctx: typer.Context, run: Callable[[], None], *, is_rolled_back: bool) -> None:
    """Run the command, and say what it would have done, also where its exit code is not 0."""
    app: App = ctx.obj
    with ExitStack() as stack:
        output = DryRunOutput(app.output, is_creating=ctx.info_name in CREATING)
        stack.callback(_restore, ctx, app, app.output)
        if is_rolled_back:
            ctx.obj = stack.enter_context(app.for_dry_run(output))
            output.effects = ctx.obj.effects
        else:
            app.output = output
        try:
            run()
        except (PartlyDone, typer.Exit):
            output.remark(output.sentence)
            raise
        output.remark(output.sentence)


def _restore(ctx: typer.Context, app: "App", output: Output) -> None:
    ctx.obj, app.output = app, output


def _ask(ctx: typer.Context, run: Callable[[], None], question: Callable[["Effects"], str | None]) -> None:
    """Ask the question about what a dry run would change. Raises what the change would raise, or InvalidInput."""
    app: App = ctx.obj
    with app.for_dry_run(_Silent(app.output)) as ctx.obj:
        try:
            run()
        except (PartlyDone, typer.Exit):
            pass  # the command says this by itself when it runs
        finally:
            dry_app, ctx.obj = ctx.obj, app
        assert dry_app.effects is not None
        asked = question(dry_app.effects)
    if asked is not None:
        confirm(asked, yes=False)


class _Silent(Output):
    """Shows nothing."""

    def __init__(self, output: Output) -> None:
        super().__init__(output.format, quiet=True, fields=output.fields)

    def table(self, rows: Any, columns: Any, **more: Any) -> None:
        pass

    def page(self, page: Page) -> None:
        pass
