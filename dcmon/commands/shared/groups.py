"""Create Typer apps: for a noun with verbs, and for a single command."""

import typer


def group(doc: str | None) -> typer.Typer:
    """Create the app of a noun with verbs, like `dcmon alert list`.

    `doc` is its help.
    """
    return typer.Typer(help=doc, no_args_is_help=True, rich_markup_mode=None, add_completion=False)


def single() -> typer.Typer:
    """Create the app of a command without verbs, like `dcmon status`."""
    return typer.Typer(rich_markup_mode=None, add_completion=False)
