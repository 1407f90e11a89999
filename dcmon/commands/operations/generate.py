"""Generate files from the code and the settings, and write them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dcmon import complete_files, errors, yaml_text
from dcmon.commands.operations import generated_deployment, generated_monitoring
from dcmon.commands.operations.generated_deployment import Deployment
from dcmon.file_errors import FileUnwritable
from dcmon.settings import Settings

COMPLETION_FILES = {"bash": "dcmon.bash", "zsh": "_dcmon", "fish": "dcmon.fish"}  # as each shell finds them


@dataclass(frozen=True)
class Generated:
    """Files by name. `written`: the paths where they are; empty if they are only shown."""

    files: Mapping[str, str]
    written: tuple[Path, ...] = ()

    def write(self, directory: Path | None, *, overwrite: bool) -> "Generated":
        """Write the files to a directory, if there is one. A file that is the same already stays.

        Raises Conflict for another file of the same name without `overwrite`, or FileUnwritable.
        """
        if directory is None:
            return self
        paths = {directory / name: text for name, text in self.files.items()}
        try:
            other = [path for path, text in paths.items() if path.exists() and path.read_bytes() != text.encode()]
            if other and not overwrite:
                raise errors.Conflict(
                    f"{', '.join(map(str, other))} exist already, with other contents. Choose another directory, or"
                    " replace them with --replace."
                )
            directory.mkdir(parents=True, exist_ok=True)
            for path, text in paths.items():
                complete_files.write_text(path, text)
        except OSError as error:
            raise FileUnwritable(path=error.filename or directory, reason=error.strerror or str(error)) from error
        return Generated(self.files, tuple(paths))


def parse_deployment(settings: Settings, image: str | None, namespace: str = "dcmon") -> Deployment:
    """Return what files are generated for."""
    return Deployment(
        settings, image or generated_deployment.default_image(), namespace, generated_deployment.program()
    )


def grafana() -> Generated:
    """Generate the dashboard."""
    text = json.dumps(generated_monitoring.dashboard(), indent=2, ensure_ascii=False)
    return Generated({"dcmon-dashboard.json": text + "\n"})


def prometheus_rules(settings: Settings) -> Generated:
    """Generate the rules of Prometheus."""
    return Generated({"dcmon-rules.yml": _yaml(generated_monitoring.rules(settings))})


def systemd(chosen: Deployment) -> Generated:
    """Generate the units."""
    return Generated(generated_deployment.systemd(chosen))


def kubernetes(chosen: Deployment) -> Generated:
    """Generate the manifests, one file."""
    return Generated({"dcmon.yaml": "---\n".join(map(_yaml, generated_deployment.kubernetes(chosen)))})


def compose(chosen: Deployment) -> Generated:
    """Generate the file of Docker Compose."""
    return Generated({"docker-compose.yml": _yaml(generated_deployment.compose(chosen))})


def completion(shell: str) -> Generated:
    """Generate the completion of a shell of COMPLETION_FILES, as typer writes it."""
    from typer._completion_shared import get_completion_script

    script = get_completion_script(prog_name="dcmon", complete_var="_DCMON_COMPLETE", shell=str(shell))
    return Generated({COMPLETION_FILES[shell]: script.strip() + "\n"})


class _Plain(yaml.SafeDumper):  # type: ignore[misc]  # yaml has no types
    """Writes each value where it is used: an anchor would not be read by people."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Plain.add_representer(str, yaml_text.represent)


def _yaml(document: Any) -> str:
    text: str = yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)
    return text
