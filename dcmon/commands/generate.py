"""Files for Grafana, Prometheus, systemd, Kubernetes, shells."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dcmon.commands.shared.choices import choice_argument
from dcmon.commands.shared.groups import group

app = group(__doc__)


class Shell(StrEnum):
    """A shell that completes commands."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


Directory = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Write files there; default: show them on stdout.")
]
Overwrite = Annotated[bool, typer.Option("--replace", help="Replace files that exist with other contents.")]
Image = Annotated[str | None, typer.Option("--image", help="Image of dcmon; default: dcmon:VERSION.")]
Namespace = Annotated[str, typer.Option("--namespace", help="Namespace of the manifests.")]


@app.command()
def grafana(ctx: typer.Context, output_dir: Directory = None, overwrite: Overwrite = False) -> None:
    """Generate a dashboard of dcmon's metrics, to import into Grafana.

    Example: dcmon generate grafana --out grafana
    """
    from dcmon.commands.operations import generate as operation
    from dcmon.commands.views import generate as view

    ctx.obj.output.page(view.files(operation.grafana().write(output_dir, overwrite=overwrite)))


@app.command("prometheus-rules")
def prometheus_rules(ctx: typer.Context, output_dir: Directory = None, overwrite: Overwrite = False) -> None:
    """Generate alert rules of Prometheus, with the limits of the settings DCMON_HEALTH__….

    Example: dcmon generate prometheus-rules --out prometheus
    """
    from dcmon.commands.operations import generate as operation
    from dcmon.commands.views import generate as view

    rules = operation.prometheus_rules(ctx.obj.settings)
    ctx.obj.output.page(view.files(rules.write(output_dir, overwrite=overwrite)))


@app.command()
def systemd(ctx: typer.Context, output_dir: Directory = None, overwrite: Overwrite = False) -> None:
    """Generate units for the endpoint, the workers and the migration, and the file of their settings.

    Secrets are not written: fill in their values.

    Example: dcmon generate systemd --out units
    """
    from dcmon.commands.operations import generate as operation
    from dcmon.commands.views import generate as view

    units = operation.systemd(operation.parse_deployment(ctx.obj.settings, None))
    ctx.obj.output.page(view.files(units.write(output_dir, overwrite=overwrite)))


@app.command()
def kubernetes(
    ctx: typer.Context,
    image: Image = None,
    namespace: Namespace = "dcmon",
    output_dir: Directory = None,
    overwrite: Overwrite = False,
) -> None:
    """Generate manifests: deployments with probes, a job that migrates, a service, settings, disruption budgets.

    Secrets are not written: fill in their values.

    Example: dcmon generate kubernetes --image example.org/dcmon:1 --out out
    """
    from dcmon.commands.operations import generate as operation
    from dcmon.commands.views import generate as view

    manifests = operation.kubernetes(operation.parse_deployment(ctx.obj.settings, image, namespace))
    ctx.obj.output.page(view.files(manifests.write(output_dir, overwrite=overwrite)))


@app.command()
def compose(
    ctx: typer.Context, image: Image = None, output_dir: Directory = None, overwrite: Overwrite = False
) -> None:
    """Generate a file for Docker Compose, with dcmon's processes and the database and broker of the settings.

    Example: dcmon generate compose --out deploy
    """
    from dcmon.commands.operations import generate as operation
    from dcmon.commands.views import generate as view

    services = operation.compose(operation.parse_deployment(ctx.obj.settings, image))
    ctx.obj.output.page(view.files(services.write(output_dir, overwrite=overwrite)))


@app.command()
def completion(
    ctx: typer.Context,
    shell: Annotated[Shell, choice_argument("shell", Shell, "Shell that completes the words of commands.")],
    output_dir: Directory = None,
    overwrite: Overwrite = False,
) -> None:
    """Generate the completion of a shell: bash, zsh or fish.

    "dcmon --install-completion" installs it; for one session of bash or zsh: source <(dcmon generate completion bash)

    Example: dcmon generate completion bash
    """
    from dcmon.commands.operations import generate as operation
    from dcmon.commands.views import generate as view

    script = operation.completion(shell)
    ctx.obj.output.page(view.files(script.write(output_dir, overwrite=overwrite)))
