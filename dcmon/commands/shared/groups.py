"""Create Typer apps: for a noun with verbs, and for a single command."""

import typer


def group(doc: str | None) -> typer.Typer:
    """Create the app of a noun with verbs, like `dcmon alert list`.

    `doc` is its help; None: its verbs become those of another group.
    """
    app = typer.Typer(help=doc, no_args_is_help=True, rich_markup_mode=None, add_completion=False)
    if doc is not None:  # without a callback, typer takes a group with one verb for a command without verbs
        app.callback(help=doc)(_do_nothing)
    return app


def _do_nothing() -> None:
    pass


def single() -> typer.Typer:
    """Create the app of a command without verbs, like `dcmon status`."""
    return typer.Typer(rich_markup_mode=None, add_completion=False)
