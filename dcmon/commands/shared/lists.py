"""What all lists have: an order, a limit, all organizations at once, and watching."""

import functools
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from dcmon.commands.shared import arguments, list_fields, options
from dcmon.errors import DcmonError, InvalidInput
from dcmon.output import Output, Page, Table

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.db import Organization

Command = TypeVar("Command", bound=Callable[..., None])
SHORTEST_WATCH = 0.5  # seconds
PARTLY_DONE = 8  # the exit code when an organization can't be read

Sort = Annotated[str, typer.Option(metavar="FIELD", help="Order by a field of the data; -FIELD: the largest first.")]
ModelWord = Annotated[str | None, typer.Argument(metavar="MODEL", hidden=True, help="The same as --model.")]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="At most so many, the first.")]
NewestLimit = Annotated[int | None, typer.Option(min=1, metavar="N", help="At most so many, the newest.")]
AllOrgs = Annotated[bool, typer.Option("--all-orgs", help="Of all organizations, with their names.")]
Watch = Annotated[timedelta | None, options.duration_option("--watch", "Show again and again, every 5s or 1m.")]


def listing(command: Command) -> Command:
    """Add the options of all lists to a command that prints one table."""
    return _with_options(command, {"sort": (Sort, ""), "limit": (Limit, None), "all_orgs": (AllOrgs, False)})


def listing_of(table: str) -> Callable[[Command], Command]:
    """Return `listing` for the rows of a table: --all-orgs does not enter organizations without rows in it."""
    return lambda command: _with_options(
        command, {"sort": (Sort, ""), "limit": (Limit, None), "all_orgs": (AllOrgs, False)}, table
    )


def global_listing(command: Command) -> Command:
    """Add the options of lists that are not of an organization."""
    return _with_options(command, {"sort": (Sort, ""), "limit": (Limit, None)})


def history_listing(command: Command) -> Command:
    """Add the options of lists to a command whose newest rows come last: --limit leaves these."""
    return _with_options(command, {"sort": (Sort, ""), "limit": (NewestLimit, None)})


def watched(command: Command) -> Command:
    """Add the option to show a command's output again and again."""
    return _with_options(command, {})


def _with_options(command: Command, offered: Mapping[str, tuple[Any, Any]], table: str | None = None) -> Command:
    """Add options to a command that it does not have itself, for example a limit that PostgreSQL applies."""
    own = inspect.signature(command).parameters
    more = {"model_word": (ModelWord, None)} if "model" in own else {}
    added = {name: option for name, option in {**more, **offered, "watch": (Watch, None)}.items() if name not in own}

    @functools.wraps(command)
    def run(ctx: typer.Context, **typed: Any) -> None:
        chosen = {name: typed.pop(name) for name in added}
        if (word := chosen.get("model_word")) is not None:
            typed["model"] = _one_model(word, typed["model"])
        # A limit of the command's own is of each organization; here it is of the whole list.
        limit, is_history = chosen.get("limit", typed.get("limit")), offered.get("limit") == (NewestLimit, None)
        ctx.obj.output.arrange(chosen.get("sort", ""), limit, newest_is_last=is_history)
        fields = list_fields.of_list(ctx.command_path.partition(" ")[2], typed)
        has_orgs = chosen.get("all_orgs") or typed.get("all_orgs")
        ctx.obj.output.expect(["org", *fields] if has_orgs else fields)
        arguments.require_not_both(bool(has_orgs), "--all-orgs", ctx.obj.typed_org is not None, "--org")
        show = functools.partial(command, ctx=ctx, **typed)
        if "all_orgs" in chosen:
            show = functools.partial(_show_one_org, show)
        if chosen.get("all_orgs"):
            show = functools.partial(_show_all_orgs, ctx, show, table)
        _show(ctx.obj.output, show, chosen["watch"])

    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        *(parameter.replace(kind=keyword) for parameter in own.values()),
        *(inspect.Parameter(name, keyword, default=value, annotation=kind) for name, (kind, value) in added.items()),
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run  # type: ignore[return-value]


def _one_model(word: str, option: str | None) -> str:
    """Return the model that a list is of, typed as an argument or as --model. Raises BadParameter if both differ."""
    if option not in (None, word):
        raise typer.BadParameter(f"The list is of one model: {word!r} or {option!r}.", param_hint="--model")
    return word


def _show(output: Output, show: Callable[[], None], watch: timedelta | None) -> None:
    """Show once, or again and again until a Ctrl-C; then an error is shown, too, and may be over the next time."""
    if watch is None:
        return show()
    every = watch.total_seconds()
    if every < SHORTEST_WATCH:
        raise InvalidInput(f"--watch: at least {SHORTEST_WATCH} s lie between two looks, like --watch 5s.")
    while True:
        output.clear()
        try:
            show()
        except DcmonError as error:
            output.remark(str(error))
        except typer.Exit:
            pass  # the exit code of one time; the next may have another
        output.flush()
        time.sleep(every)


def _show_one_org(show: Callable[[], None]) -> None:
    """Show the list of one organization. Where it must be chosen, the error also names --all-orgs."""
    from dcmon.tenancy.organizations import SeveralOrganizations

    try:
        show()
    except SeveralOrganizations as error:
        raise SeveralOrganizations(f"{error} --all-orgs lists those of all.") from error


class _Collected(Output):
    """Keeps the tables of one organization in place of writing them."""

    def __init__(self, output: Output) -> None:
        super().__init__(output.format, quiet=output.quiet)
        self.tables_of_org: list[Table] = []

    def table(self, rows: Any, columns: Any, **more: Any) -> None:
        self.tables_of_org.append(Table(rows, columns, **more))

    def page(self, page: Page) -> None:
        tables = [part for part in map(page.with_data, page.parts) if isinstance(part, Table)]
        if self.is_data and not isinstance(page.data, Mapping):
            tables = [Table(page.data, [])]
        self.tables_of_org += tables


def _show_all_orgs(ctx: typer.Context, show: Callable[[], None], table: str | None) -> None:
    """Show one table of all organizations. Exits with PARTLY_DONE if one of them can't be read."""
    app: App = ctx.obj
    tables, failed = dict[str, list[Table]](), 0
    for org in _organizations_with(app, table):
        collected = _Collected(app.output)
        ctx.obj = app.for_org(org, collected)
        try:
            show()
        except DcmonError as error:
            failed += 1
            app.output.warn(f"{org.name}: {error}")
        tables[org.name] = collected.tables_of_org
    ctx.obj = app
    app.output.page(_joined(tables))
    if failed:
        raise typer.Exit(PARTLY_DONE)


def _organizations_with(app: "App", table: str | None) -> Sequence["Organization"]:
    """Return the organizations that have rows in a table; if none has, one that says in its words that it is empty."""
    orgs = app.every_organization()
    if table is None:
        return orgs
    from dcmon.db import filled_tables

    with app.public() as session:
        filled = filled_tables.schemas_with(session, table)
    return [org for org in orgs if org.schema in filled] or orgs[:1]


def _joined(tables: Mapping[str, list[Table]]) -> Page:
    """Join the tables of organizations to one, with the organization in the first column."""
    rows = [{"org": org, **row} for org, listed in tables.items() for table in listed for row in table.rows]
    of_orgs = [table for listed in tables.values() for table in listed]
    shape = next((table for table in of_orgs if table.rows), next(iter(of_orgs), Table([], [])))
    columns = {"org": "", **shape.columns} if isinstance(shape.columns, Mapping) else ["org", *shape.columns]
    narrow = ["org", *shape.narrow] if shape.narrow else ()
    return Page(rows, [replace(shape, rows=rows, columns=columns, narrow=narrow)])
