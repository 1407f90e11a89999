"""The two kinds of commands: a noun with verbs, and a single command."""

import typer


def group(doc: str | None) -> typer.Typer:
    """Make a noun with verbs, like `dcmon alert list`; `doc` is its help."""
    return typer.Typer(help=doc, no_args_is_help=True, rich_markup_mode=None, add_completion=False)


def single() -> typer.Typer:
    """Make a command without verbs, like `dcmon status`."""
    return typer.Typer(rich_markup_mode=None, add_completion=False)
