"""Check files of monitoring as code, without a database."""

from typing import Annotated

import typer

from dcmon.commands.shared.groups import single

app = single()


@app.command()
def validate(
    ctx: typer.Context,
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="FILE...", help="Files, directories with YAML files, or - for stdin.")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of the files, for editors.")] = False,
) -> None:
    """Check files of monitoring as code without a database: keys, names, conditions, parameters, references.

    All faults are shown, each with file, line and column; with one, the exit code is 2. "dcmon docs
    monitoring-as-code" describes the files.

    Example: dcmon validate monitoring.yaml

    Example: dcmon validate --schema
    """
    from dcmon.commands.operations import declaration_files as operation

    ctx.obj.output.expect(operation.FIELDS)
    checked = operation.validate(paths or [], shows_schema=schema)
    ctx.obj.output.page(checked.page)
    if checked.faults:
        raise typer.Exit(2)
